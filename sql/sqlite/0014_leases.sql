-- A pending image without a lease waits in the queue. A lease has no end in time, because no two machines have the same
-- clock: `lease_renewals` counts, and a lease that has not been renewed for long is over. `limited_by` names the limit that
-- the running image counts against, and `next_look_at` is when an unknown image may be looked at again.
DROP INDEX images_lease;
ALTER TABLE images DROP COLUMN lease_until;
ALTER TABLE images ADD COLUMN lease_renewals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN limited_by TEXT;
ALTER TABLE images ADD COLUMN next_look_at TEXT;
CREATE INDEX images_work ON images (status, next_look_at);
