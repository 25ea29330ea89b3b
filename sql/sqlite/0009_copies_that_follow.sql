-- Foreign keys are off by default, also in the `sqlite3` shell: triggers keep the copies true, whoever changes an image
-- and however the connection is set up.
CREATE TRIGGER image_tags_follow AFTER UPDATE OF id, author, visibility, status, created_at, guid ON images
WHEN (old.id, old.author, old.visibility, old.status, old.created_at, old.guid)
    IS NOT (new.id, new.author, new.visibility, new.status, new.created_at, new.guid)
BEGIN
    UPDATE image_tags
    SET image_id = new.id, author = new.author, visibility = new.visibility, status = new.status,
        created_at = new.created_at, guid = new.guid
    WHERE image_id IN (old.id, new.id);
END;
CREATE TRIGGER image_tags_deleted AFTER DELETE ON images BEGIN
    DELETE FROM image_tags WHERE image_id = old.id;
END;

-- Words of another prompt count for nothing; `pixyproxy db upgrade` or the next start makes new ones.
CREATE TRIGGER image_words_outdated AFTER UPDATE OF id, prompt ON images
WHEN (old.id, old.prompt) IS NOT (new.id, new.prompt)
BEGIN
    DELETE FROM image_words WHERE rowid = old.id;
END;

-- Until now, somebody's own SQL may have changed or deleted an image without its copies.
DELETE FROM image_tags WHERE image_id NOT IN (SELECT id FROM images);
UPDATE image_tags
SET (author, visibility, status, created_at, guid) = (
    SELECT author, visibility, status, created_at, guid FROM images WHERE images.id = image_tags.image_id
);
