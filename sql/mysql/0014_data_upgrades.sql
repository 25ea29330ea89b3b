-- How far each change of stored records has come that is made in batches: all up to `position` is done.
CREATE TABLE data_upgrades (
    name VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    position VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    finished_at TIMESTAMP(6) NULL DEFAULT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
