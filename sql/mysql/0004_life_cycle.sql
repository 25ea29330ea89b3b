-- The lease of an image that is being made (who, until when), the kind of its failure, and the generator's name for the
-- attempt. The key finds what was abandoned.
ALTER TABLE images
    ADD COLUMN lease_owner VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
    ADD COLUMN lease_until TIMESTAMP(6) NULL,
    ADD COLUMN failure_kind VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    ADD COLUMN maybe_billed BOOLEAN NULL,
    ADD COLUMN generator_request_id VARCHAR(255) NULL,
    ADD KEY images_lease (status, lease_until);
