-- The reference keeps the copies of author, created_at and guid true, whoever changes the image; image_tags_listing does
-- so for visibility and status. The author is author_key of images.
ALTER TABLE image_tags
    MODIFY COLUMN author VARCHAR(64) NOT NULL,
    ADD KEY image_tags_copies (image_id, author, created_at, guid),
    ADD CONSTRAINT image_tags_copies FOREIGN KEY (image_id, author, created_at, guid)
        REFERENCES images (id, author_key, created_at, guid) ON UPDATE CASCADE ON DELETE CASCADE;
