-- Which image each idempotency key was used for. There is no reference to images: a key outlives its image, so that it
-- never buys another one. The author of what anybody may ask for is the empty text, which is no user name.
CREATE TABLE idempotency_keys (
    author TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    guid TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    PRIMARY KEY (author, idempotency_key)
) WITHOUT ROWID;

CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
