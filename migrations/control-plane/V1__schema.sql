-- The control plane's database. The log is the canon; every other table is derived from it, and each of
-- their rows names the log row that last changed it, written in the same transaction.

-- Append-only. No secondary index: the hot path appends here, look-ups use the derived tables.
CREATE TABLE event_log (
    seq INTEGER PRIMARY KEY,
    -- RFC 3339, milliseconds.
    at TEXT NOT NULL,
    host TEXT,
    rollout_id TEXT,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    -- 1: the control plane's own conclusion about a host.
    synthetic INTEGER NOT NULL CHECK (synthetic IN (0, 1)),
    -- The fields of the kind, as JSON.
    payload TEXT NOT NULL,
    -- SHA-256 over the chain value before and this row.
    chain BLOB NOT NULL CHECK (length(chain) = 32)
) STRICT;

CREATE TABLE rollouts (
    rollout_id TEXT PRIMARY KEY,
    -- Rises with each rollout that opens.
    opened_order INTEGER NOT NULL UNIQUE,
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

CREATE TABLE waves (
    rollout_id TEXT NOT NULL REFERENCES rollouts (rollout_id),
    wave INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq),
    PRIMARY KEY (rollout_id, wave)
) STRICT, WITHOUT ROWID;

-- The reducer's cache of each host's place in each rollout.
CREATE TABLE host_rollouts (
    rollout_id TEXT NOT NULL REFERENCES rollouts (rollout_id),
    host TEXT NOT NULL,
    -- JSON: the signed entry, the folded record, how far the journal is folded, what is kept beside.
    entry TEXT NOT NULL,
    record TEXT NOT NULL,
    journal TEXT NOT NULL,
    marks TEXT NOT NULL,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq),
    PRIMARY KEY (rollout_id, host)
) STRICT;

-- Probes that fail now; a pass removes them.
CREATE TABLE probe_failures (
    rollout_id TEXT NOT NULL,
    host TEXT NOT NULL,
    probe TEXT NOT NULL,
    failing_since TEXT NOT NULL,
    reason TEXT,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq),
    PRIMARY KEY (rollout_id, host, probe)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantines (
    channel TEXT NOT NULL,
    closure TEXT NOT NULL,
    -- JSON, as operators read it.
    document TEXT NOT NULL,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq),
    PRIMARY KEY (channel, closure)
) STRICT, WITHOUT ROWID;

-- Open leases.
CREATE TABLE dispatches (
    rollout_id TEXT NOT NULL,
    host TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    no_change INTEGER NOT NULL CHECK (no_change IN (0, 1)),
    issued_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq),
    PRIMARY KEY (rollout_id, host)
) STRICT, WITHOUT ROWID;

-- Adopted releases; their files are in the folder release/ and are verified again at every start.
CREATE TABLE releases (
    log_seq INTEGER PRIMARY KEY REFERENCES event_log (seq),
    serial INTEGER NOT NULL,
    fleet_sha256 BLOB NOT NULL CHECK (length(fleet_sha256) = 32),
    signed_at TEXT NOT NULL,
    adopted_at TEXT NOT NULL,
    -- JSON arrays.
    opened TEXT NOT NULL,
    unchanged TEXT NOT NULL
) STRICT;

-- When hosts were last heard from. Not derived from the log; flushed now and then.
CREATE TABLE hosts (
    host TEXT PRIMARY KEY,
    last_seen_at TEXT NOT NULL,
    agent_version TEXT,
    current_closure TEXT
) STRICT, WITHOUT ROWID;

-- cp_epoch: made with the database. created_at.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
