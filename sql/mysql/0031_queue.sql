-- A pending image without a lease waits in the queue. A lease has no end in time, because no two machines have the same
-- clock: `lease_renewals` counts, and a lease that has not been renewed for long is over. `limited_by` names the limit that
-- the running image counts against, and `next_look_at` is when an unknown image may be looked at again.
ALTER TABLE images
    DROP KEY images_lease,
    DROP COLUMN lease_until,
    ADD COLUMN lease_renewals INT NOT NULL DEFAULT 0,
    ADD COLUMN limited_by VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    ADD COLUMN next_look_at TIMESTAMP(6) NULL,
    ADD KEY images_work (status, next_look_at);
