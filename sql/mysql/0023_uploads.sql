-- The stored uploads. One that no image refers to is deleted once `held_until` is over, which is NULL for one that an
-- image referred to then; deleting the image sets it. `holds` are the requests that hold it, and `deleting_until` is the
-- lease of the process that deletes it.
CREATE TABLE uploads (
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    holds INT NOT NULL DEFAULT 0,
    held_until TIMESTAMP(6) NULL,
    deleting_until TIMESTAMP(6) NULL,
    KEY uploads_held (held_until)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
