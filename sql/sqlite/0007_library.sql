-- `version` counts the changes of an image, so that two writers don't overwrite each other.
ALTER TABLE images ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

-- Every list walks an index in the order of the list, from the cursor on. The last two columns of images_author let an
-- author's own images of one model or one media type be found without reading each.
DROP INDEX images_author;
CREATE INDEX images_author ON images (author, status, created_at, guid, model, media_type);
CREATE INDEX images_model ON images (visibility, status, model, created_at, guid);
CREATE INDEX images_media_type ON images (visibility, status, media_type, created_at, guid);
CREATE INDEX images_author_visibility ON images (author, visibility, status, created_at, guid);

-- What the rows of image_tags refer to, to have a true copy of both columns.
CREATE UNIQUE INDEX images_listing ON images (id, visibility, status);

-- The tags, with copies of what a list by tag asks for: without them it would read each image that has the tag. The
-- reference keeps the copies of visibility and status true, whoever changes the image.
CREATE TABLE image_tags_2 (
    image_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    tag TEXT NOT NULL,
    author TEXT,
    visibility TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at TEXT NOT NULL,
    guid TEXT NOT NULL,
    PRIMARY KEY (image_id, position),
    FOREIGN KEY (image_id, visibility, status) REFERENCES images (id, visibility, status)
        ON UPDATE CASCADE ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO image_tags_2 (image_id, position, tag, author, visibility, status, created_at, guid)
SELECT image_id, position, tag, author, visibility, status, created_at, guid
FROM image_tags JOIN images ON images.id = image_tags.image_id;
DROP TABLE image_tags;
ALTER TABLE image_tags_2 RENAME TO image_tags;
CREATE INDEX image_tags_public ON image_tags (visibility, status, tag, created_at, guid);
CREATE INDEX image_tags_author ON image_tags (author, status, tag, created_at, guid, visibility);

-- The terms of each prompt, between spaces, as `pixyproxy.adapters.rows` makes them; its rowid is the image's id. The
-- index narrows a search down; whether an image has what is looked for is decided by the text itself.
CREATE VIRTUAL TABLE image_words USING fts5 (words, tokenize = "ascii tokenchars '_'", detail = none);
CREATE TRIGGER image_words_deleted AFTER DELETE ON images BEGIN
    DELETE FROM image_words WHERE rowid = old.id;
END;

-- The images that are deleted while their content may still be there, and until when somebody is at work on that.
CREATE TABLE image_deletions (
    guid TEXT NOT NULL PRIMARY KEY,
    lease_until TEXT NOT NULL
) WITHOUT ROWID;

-- Keys that all processes on this database share, in hexadecimal digits; each is made when it is first needed.
CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
