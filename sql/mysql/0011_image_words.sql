-- The terms of each prompt, between spaces, as `pixyproxy.adapters.rows` makes them. The FULLTEXT index narrows a search
-- down; whether an image has what is looked for is decided by the text itself.
CREATE TABLE image_words (
    image_id INT NOT NULL PRIMARY KEY,
    words MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    FULLTEXT KEY image_words_words (words),
    CONSTRAINT image_words_image FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
