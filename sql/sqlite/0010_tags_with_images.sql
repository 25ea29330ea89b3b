-- The tags of an image in their order, as a JSON array of texts; NULL as long as only image_tags has them. They are the
-- truth, and image_tags is their index: change them here, and run `pixyproxy db reindex` afterwards, which overwrites tag
-- and position of image_tags. A data upgrade fills the column in batches.
ALTER TABLE images
    ADD COLUMN tags TEXT CHECK (tags IS NULL OR (json_valid(tags) AND json_type(tags) = 'array'));
