-- Times are texts in UTC, always with six digits of a fraction, so that they sort as the times do.
-- A record that is inserted by hand is pending: never shown.
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    guid TEXT NOT NULL UNIQUE,
    filename TEXT NOT NULL,
    prompt TEXT NOT NULL,
    author TEXT,
    visibility TEXT NOT NULL DEFAULT 'public',
    status TEXT NOT NULL DEFAULT 'pending',
    model TEXT NOT NULL DEFAULT '',
    media_type TEXT,
    byte_size INTEGER,
    sha256 TEXT,
    width INTEGER,
    height INTEGER,
    generator_usage TEXT,
    failure TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
);

CREATE INDEX images_public ON images (visibility, status, created_at, guid);

CREATE INDEX images_author ON images (author, status, created_at, guid);
