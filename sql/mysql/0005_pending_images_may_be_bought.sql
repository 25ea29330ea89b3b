-- Until now a pending image may have been bought already.
UPDATE images SET status = 'generating', updated_at = updated_at WHERE status = 'pending';
