CREATE TABLE image_tags (
    image_id INT NOT NULL,
    position SMALLINT NOT NULL,
    tag VARCHAR(64) NOT NULL,
    PRIMARY KEY (image_id, position),
    CONSTRAINT image_tags_image FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
