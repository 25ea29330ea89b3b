-- The reference keeps the copies of visibility and status true, whoever changes the image. Lists by tag and the tags
-- with their numbers walk image_tags_public, or for the images of one author image_tags_author, where the visibility
-- comes last because it is not always asked for.
ALTER TABLE image_tags
    MODIFY COLUMN visibility VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    MODIFY COLUMN status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    MODIFY COLUMN created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    MODIFY COLUMN guid VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    DROP FOREIGN KEY image_tags_image,
    ADD KEY image_tags_listing (image_id, visibility, status),
    ADD CONSTRAINT image_tags_listing FOREIGN KEY (image_id, visibility, status)
        REFERENCES images (id, visibility, status) ON UPDATE CASCADE ON DELETE CASCADE,
    ADD KEY image_tags_public (visibility, status, tag, created_at, guid),
    ADD KEY image_tags_author (author, status, tag, created_at, guid, visibility);
