-- Rollouts are ordered by the serial of the release that opened them, and then by their ids: those of one release
-- have the same serial, so that it must not be unique. SQLite takes a constraint away only with its table.
CREATE TABLE rollouts_of_any_release (
    rollout_id TEXT PRIMARY KEY,
    -- The serial of the release that opened it.
    opened_order INTEGER NOT NULL,
    serial INTEGER NOT NULL,
    content_id BLOB NOT NULL CHECK (length(content_id) = 32),
    -- The exact bytes, and the signatures as JSON.
    header BLOB NOT NULL,
    signatures TEXT NOT NULL,
    state TEXT NOT NULL,
    -- JSON.
    halt TEXT,
    frozen INTEGER NOT NULL CHECK (frozen IN (0, 1)),
    current_wave INTEGER NOT NULL,
    opened_at TEXT NOT NULL,
    finished_at TEXT,
    superseded_by TEXT,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq)
) STRICT;
INSERT INTO rollouts_of_any_release SELECT * FROM rollouts;
DROP TABLE rollouts;
ALTER TABLE rollouts_of_any_release RENAME TO rollouts;
