-- Until now a pending image may have been bought already.
UPDATE images SET status = 'generating' WHERE status = 'pending';
