-- Rates that all processes keep together: when each lets the next one in at the latest, so that none has to remember those
-- before (the theoretical arrival time of the generic cell rate algorithm).
CREATE TABLE rate_limits (
    name TEXT NOT NULL PRIMARY KEY,
    next_at TEXT NOT NULL
) WITHOUT ROWID;

-- Numbers that grow with each change of something that processes remember, such as logins.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- When each author had a turn in the queue last: the number of that turn. The author is the empty text, which is no user
-- name, for images without one.
CREATE TABLE queue_turns (
    author TEXT NOT NULL PRIMARY KEY,
    turn INTEGER NOT NULL
) WITHOUT ROWID;
