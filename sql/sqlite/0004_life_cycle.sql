-- The lease of an image that is being made (who, until when), the kind of its failure, and the generator's name for the
-- attempt.
ALTER TABLE images ADD COLUMN lease_owner TEXT;
ALTER TABLE images ADD COLUMN lease_until TEXT;
ALTER TABLE images ADD COLUMN failure_kind TEXT;
ALTER TABLE images ADD COLUMN maybe_billed INTEGER;
ALTER TABLE images ADD COLUMN generator_request_id TEXT;

-- Finds what was abandoned.
CREATE INDEX images_lease ON images (status, lease_until);
