-- Copies of what a list by tag asks for: without them it would read each image that has the tag.
ALTER TABLE image_tags
    ADD COLUMN author VARCHAR(64) NULL,
    ADD COLUMN visibility VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
    ADD COLUMN status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
    ADD COLUMN created_at TIMESTAMP(6) NULL,
    ADD COLUMN guid VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL;
