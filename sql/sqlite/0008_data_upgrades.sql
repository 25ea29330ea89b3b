-- How far each change of stored records has come that is made in batches: all up to `position` is done.
CREATE TABLE data_upgrades (
    name TEXT NOT NULL PRIMARY KEY,
    position TEXT NOT NULL,
    finished_at TEXT
) WITHOUT ROWID;
