-- When each author had a turn in the queue last: the number of that turn. The author is the empty text, which is no user
-- name, for images without one.
CREATE TABLE queue_turns (
    author VARCHAR(64) NOT NULL PRIMARY KEY,
    turn BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
