-- Every version of the trust file that this host has gone by: the highest one holds, whatever the file
-- on disk says.
CREATE TABLE trust_versions (
    version INTEGER PRIMARY KEY,
    -- Its exact bytes and its signatures, as JSON.
    signed TEXT NOT NULL,
    -- RFC 3339, milliseconds.
    seen_at TEXT NOT NULL
) STRICT;
