-- Keys of programs: `digest` is the SHA-256 of the secret, of which nothing else is stored but its first characters in
-- `prefix`.
CREATE TABLE api_keys (
    guid TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    user_name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    visibility TEXT,
    tags TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    last_used_at TEXT,
    revoked_at TEXT
) WITHOUT ROWID;

CREATE INDEX api_keys_user ON api_keys (user_name, created_at);

-- An administrator reaches the images and the keys of all users.
ALTER TABLE users ADD COLUMN is_admin BOOLEAN NOT NULL DEFAULT FALSE;

-- What the client said about itself and its user, as a JSON object; NULL if nothing.
ALTER TABLE images ADD COLUMN sender TEXT;

-- Requests without an idempotency key of the client's are kept under a key that begins with `order `, which no client can
-- send, until their answer has reached the client. `attempt` is the number of the client's attempt that has taken the
-- order last.
ALTER TABLE idempotency_keys ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
