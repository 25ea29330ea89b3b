-- `request` has the options of a request, all but the prompt, as a JSON object that begins with its brace; NULL if it
-- has none, as before this script. `result` is what the generator says it has drawn. `batch` ties together the images of
-- one request, and `failure_field` is the field of the request that a failure blames.
ALTER TABLE images ADD COLUMN request TEXT;
ALTER TABLE images ADD COLUMN result TEXT;
ALTER TABLE images ADD COLUMN batch TEXT;
ALTER TABLE images ADD COLUMN batch_position INTEGER;
ALTER TABLE images ADD COLUMN batch_size INTEGER;
ALTER TABLE images ADD COLUMN failure_field TEXT;

CREATE INDEX images_batch ON images (batch, batch_position) WHERE batch IS NOT NULL;

-- An index of the references and masks in `request`: finds what was drawn from an image, and who refers to an upload.
-- There is no foreign key for `guid`: an image remembers its parents, whatever becomes of them.
CREATE TABLE image_references (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    guid TEXT,
    sha256 TEXT,
    PRIMARY KEY (image_id, position)
) WITHOUT ROWID;

CREATE INDEX image_references_guid ON image_references (guid) WHERE guid IS NOT NULL;
CREATE INDEX image_references_sha256 ON image_references (sha256) WHERE sha256 IS NOT NULL;

-- The stored uploads. One that no image refers to is deleted once `held_until` is over, which is NULL for one that an
-- image referred to then; deleting the image sets it. `holds` are the requests that hold it, and `deleting_until` is the
-- lease of the process that deletes it.
CREATE TABLE uploads (
    sha256 TEXT NOT NULL PRIMARY KEY,
    holds INTEGER NOT NULL DEFAULT 0,
    held_until TEXT,
    deleting_until TEXT
) WITHOUT ROWID;

CREATE INDEX uploads_held ON uploads (held_until) WHERE held_until IS NOT NULL;
