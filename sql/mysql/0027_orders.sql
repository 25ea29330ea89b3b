-- Requests without an idempotency key of the client's are kept under a key that begins with `order `, which no client can
-- send, until their answer has reached the client. `attempt` is the number of the client's attempt that has taken the
-- order last.
ALTER TABLE idempotency_keys ADD COLUMN attempt INT NOT NULL DEFAULT 0;
