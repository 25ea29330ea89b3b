-- `version` counts the changes of an image, so that two writers don't overwrite each other. Every list walks an index
-- in the order of the list, from the cursor on:
--   images_public (since 0001)     the public images
--   images_model                   those of one model
--   images_media_type              those of one media type
--   images_author (made anew)      an author's own images; the last two columns let those of one model or one media
--                                  type be found without reading each image
--   images_author_visibility       an author's public images, and an author's own public or private ones
-- images_listing is what the rows of image_tags refer to, to have a true copy of both columns.
ALTER TABLE images
    ADD COLUMN version INT NOT NULL DEFAULT 1,
    ADD UNIQUE KEY images_listing (id, visibility, status),
    DROP KEY images_author,
    ADD KEY images_author (author, status, created_at, guid, model, media_type),
    ADD KEY images_model (visibility, status, model, created_at, guid),
    ADD KEY images_media_type (visibility, status, media_type, created_at, guid),
    ADD KEY images_author_visibility (author, visibility, status, created_at, guid);
