-- `author_key` is the author, or the empty text, which is no user name, where there is none: a key with NULL in it would
-- be neither enforced nor cascaded. images_copies is what the rows of image_tags refer to, to have true copies.
ALTER TABLE images
    ADD COLUMN author_key VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
        GENERATED ALWAYS AS (COALESCE(author, '')) STORED,
    ADD UNIQUE KEY images_copies (id, author_key, created_at, guid);
