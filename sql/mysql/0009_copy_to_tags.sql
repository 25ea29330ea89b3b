UPDATE image_tags
JOIN images ON images.id = image_tags.image_id
SET image_tags.author = images.author, image_tags.visibility = images.visibility, image_tags.status = images.status,
    image_tags.created_at = images.created_at, image_tags.guid = images.guid;
