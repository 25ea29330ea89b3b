-- The stored uploads. One that no image refers to is deleted once `held_until` is over; `deleting_until` is the lease of
-- the process that does so.
CREATE TABLE uploads (
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    held_until TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    deleting_until TIMESTAMP(6) NULL,
    KEY uploads_held (held_until)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
