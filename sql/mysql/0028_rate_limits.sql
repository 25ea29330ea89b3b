-- Rates that all processes keep together: when each lets the next one in at the latest, so that none has to remember those
-- before (the theoretical arrival time of the generic cell rate algorithm).
CREATE TABLE rate_limits (
    name VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    next_at DATETIME(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
