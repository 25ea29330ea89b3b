-- TEXT(32000) counts characters: under utf8mb4 it becomes MEDIUMTEXT, because TEXT holds 65,535 bytes only and a prompt
-- of 32,000 emoji needs 128,000. The guid is ASCII, so that it sorts as its text does. generator_usage is no JSON
-- column, because MySQL rewrites what is put into one. A record that is inserted by hand is pending: never shown.
CREATE TABLE images (
    id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    guid VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    filename VARCHAR(255) NOT NULL,
    prompt TEXT(32000) NOT NULL,
    author VARCHAR(64) NULL,
    visibility VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'public',
    status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'pending',
    model VARCHAR(255) NOT NULL DEFAULT '',
    media_type VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    byte_size BIGINT NULL,
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    width INT NULL,
    height INT NULL,
    generator_usage MEDIUMTEXT NULL,
    failure VARCHAR(1000) NULL,
    created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    UNIQUE KEY images_guid (guid),
    KEY images_public (visibility, status, created_at, guid),
    KEY images_author (author, status, created_at, guid)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
