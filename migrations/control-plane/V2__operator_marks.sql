-- What operators have marked: paused and aborted rollouts, approved waves, held hosts.
CREATE TABLE marks (
    -- rollout, approval, hold.
    kind TEXT NOT NULL CHECK (kind IN ('rollout', 'approval', 'hold')),
    -- The rollout, the rollout and wave, the host.
    subject TEXT NOT NULL,
    -- JSON; null: taken back.
    document TEXT,
    -- The version of all marks in which this one changed last; what hosts keep is compared with it.
    version INTEGER NOT NULL,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq),
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
