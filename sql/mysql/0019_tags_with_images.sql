-- The tags of an image in their order, as a JSON array of texts; NULL as long as only image_tags has them. They are the
-- truth, and image_tags is their index: change them here, and run `pixyproxy db reindex` afterwards. A data upgrade fills
-- the column in batches.
ALTER TABLE images
    ADD COLUMN tags TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL
        COMMENT 'JSON array, after a change run: pixyproxy db reindex'
        CHECK (tags IS NULL OR (JSON_VALID(tags) AND JSON_TYPE(tags) = 'ARRAY'));
