-- Rollouts that retention has removed. What their refs are bound to outlives them.
CREATE TABLE pruned_rollouts (
    rollout_id TEXT PRIMARY KEY,
    content_id BLOB NOT NULL CHECK (length(content_id) = 32),
    pruned_at TEXT NOT NULL,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq)
) STRICT, WITHOUT ROWID;

-- Rows that compaction has removed from the log, run by run, and the chain value each run ended with.
CREATE TABLE log_removed (
    first_seq INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL,
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    log_seq INTEGER NOT NULL REFERENCES event_log (seq)
) STRICT;
