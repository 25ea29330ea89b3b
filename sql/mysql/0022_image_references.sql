-- An index of the references and masks in `request`: finds what was drawn from an image, and who refers to an upload.
-- There is no foreign key for `guid`: an image remembers its parents, whatever becomes of them.
CREATE TABLE image_references (
    image_id INT NOT NULL,
    position SMALLINT NOT NULL,
    guid VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    PRIMARY KEY (image_id, position),
    KEY image_references_guid (guid),
    KEY image_references_sha256 (sha256),
    CONSTRAINT image_references_image FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
