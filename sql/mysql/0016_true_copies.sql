-- Until now, somebody's own SQL may have changed an image without its copies.
UPDATE image_tags
JOIN images ON images.id = image_tags.image_id
SET image_tags.author = images.author_key, image_tags.created_at = images.created_at, image_tags.guid = images.guid;
