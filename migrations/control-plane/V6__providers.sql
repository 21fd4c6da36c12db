-- What the providers of hosts say, as operators' scripts tell.
CREATE TABLE providers (
    host TEXT PRIMARY KEY,
    -- The machine's name with its provider.
    provider_id TEXT,
    provider_state TEXT NOT NULL CHECK (provider_state IN ('running', 'off', 'unknown')),
    -- By whom, and since when it is told like this.
    actor TEXT NOT NULL,
    since TEXT NOT NULL,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq)
) STRICT, WITHOUT ROWID;

-- When it was told last. Not derived from the log: the same is told again and again.
CREATE TABLE provider_syncs (
    host TEXT PRIMARY KEY,
    last_sync TEXT NOT NULL
) STRICT, WITHOUT ROWID;
