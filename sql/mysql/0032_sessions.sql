-- Logins of browsers: `digest` is the SHA-256 of the token in the cookie, which is not stored. `password_digest` is the
-- SHA-256 of the user's password hash at the login, so that a session ends with its password, whoever changes that. Times
-- are DATETIME, because sessions may expire after 2038.
CREATE TABLE sessions (
    guid VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    user_name VARCHAR(64) NOT NULL,
    digest CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    password_digest CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DATETIME(6) NOT NULL,
    seen_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    UNIQUE KEY sessions_digest (digest),
    KEY sessions_user (user_name, created_at),
    KEY sessions_expiry (expires_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
