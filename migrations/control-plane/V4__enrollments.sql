-- Which hosts were let in by which token, and with which key: each token counts so many times, and who
-- asks again with the same key is the same host.
CREATE TABLE enrollments (
    token TEXT NOT NULL,
    host TEXT NOT NULL,
    -- The thumbprint of the host's key.
    key TEXT NOT NULL,
    -- Until when the token counts.
    expires_at TEXT NOT NULL,
    at TEXT NOT NULL,
    log_seq INTEGER NOT NULL REFERENCES event_log (seq),
    PRIMARY KEY (token, host)
) STRICT, WITHOUT ROWID;
