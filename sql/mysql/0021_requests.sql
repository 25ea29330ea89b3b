-- `request` has the options of a request, all but the prompt, as a JSON object that begins with its brace; NULL if it
-- has none, as before this script. `result` is what the generator says it has drawn. Both are no JSON columns, because
-- MySQL rewrites what is put into one. `batch` ties together the images of one request, and `failure_field` is the field
-- of the request that a failure blames.
ALTER TABLE images
    ADD COLUMN request MEDIUMTEXT NULL,
    ADD COLUMN result MEDIUMTEXT NULL,
    ADD COLUMN batch VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
    ADD COLUMN batch_position SMALLINT NULL,
    ADD COLUMN batch_size SMALLINT NULL,
    ADD COLUMN failure_field VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    ADD KEY images_batch (batch, batch_position);
