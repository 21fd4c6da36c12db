-- The agent's journal: what it did, in order, written before the effect shows.
-- The truth; state.json beside it may be deleted at any time.

CREATE TABLE journals (
    -- Rises: journals in the order in which they were opened. Of one rollout the last one counts,
    -- earlier ones are kept as evidence.
    opened_order INTEGER PRIMARY KEY AUTOINCREMENT,
    journal_id TEXT NOT NULL UNIQUE,
    rollout_id TEXT NOT NULL,
    -- Header, signatures, entry and proof as received; null for one that only holds the rejection
    -- of a dispatch. Verified again whenever it is read.
    proof TEXT
) STRICT;

CREATE INDEX journals_by_rollout ON journals (rollout_id);

CREATE TABLE entries (
    journal_id TEXT NOT NULL REFERENCES journals (journal_id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    -- As it is sent: {"seq","at","event"}.
    entry TEXT NOT NULL,
    answer TEXT NOT NULL
        CHECK (answer IN ('unanswered', 'accepted', 'refused', 'refused-in-replay')),
    -- The boot it was written in, and the clock of that boot: for soak across a restart.
    boot_id TEXT NOT NULL,
    mono_millis INTEGER NOT NULL,
    PRIMARY KEY (journal_id, seq)
) STRICT, WITHOUT ROWID;

-- serial, fleet_sha256, cp_epoch, marks: each as JSON.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Closures this agent itself has activated: the only ones it goes back to.
CREATE TABLE activated (
    -- Rises: the latest activation last.
    activated_order INTEGER PRIMARY KEY AUTOINCREMENT,
    closure TEXT NOT NULL UNIQUE,
    checks TEXT,
    rollout_id TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('unproven', 'converged'))
) STRICT;

-- Closures that failed here and are not activated again until cleared.
CREATE TABLE rejected (
    rejected_order INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    closure TEXT NOT NULL,
    rollout_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    UNIQUE (channel, closure, rollout_id, attempt)
) STRICT;
