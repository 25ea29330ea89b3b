-- Logins of browsers: `digest` is the SHA-256 of the token in the cookie, which is not stored. `password_digest` is the
-- SHA-256 of the user's password hash at the login, so that a session ends with its password, whoever changes that.
CREATE TABLE sessions (
    guid TEXT NOT NULL PRIMARY KEY,
    user_name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    password_digest TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX sessions_user ON sessions (user_name, created_at);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- An author's images by their last change, for streams of their events.
CREATE INDEX images_author_updated ON images (author, updated_at);
