-- `pixyproxy db reindex` overwrites tag and position with what images.tags says.
ALTER TABLE image_tags
    MODIFY COLUMN tag VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
        COMMENT 'Index of images.tags: change them there';
