-- The SHA-256 of the prompt that the words were made from: where the prompt is another by now, they count for nothing,
-- and are made anew by `pixyproxy db upgrade` or the next start. In utf8mb4, as what SHA2() gives on all servers.
ALTER TABLE image_words ADD COLUMN prompt_digest CHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;
