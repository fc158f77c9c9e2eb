-- Times are milliseconds since the Unix epoch, as they are signed and bound to the wrapped secrets.

-- Rows lie in the order in which they came, since ids are random: those of one transaction share pages.
CREATE TABLE sessions (
    store_name       TEXT    NOT NULL CHECK (length(CAST(store_name AS BLOB)) BETWEEN 1 AND 255),
    session_id       TEXT    NOT NULL,
    client_did       TEXT    NOT NULL,
    server_did       TEXT    NOT NULL,
    created_ms       INTEGER NOT NULL,
    expires_ms       INTEGER NOT NULL,
    epoch            INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    kek_id           TEXT    NOT NULL,
    wrapped_secret   BLOB    NOT NULL CHECK (length(wrapped_secret) <= 1024), -- bound to the row
    idle_timeout_s   INTEGER NOT NULL CHECK (idle_timeout_s > 0),
    last_activity_ms INTEGER NOT NULL,
    messages         INTEGER NOT NULL DEFAULT 0,
    metadata         TEXT    NOT NULL DEFAULT '{}' CHECK (metadata LIKE '{%}'), -- JSON
    restored         INTEGER NOT NULL DEFAULT 0 CHECK (restored IN (0, 1)), -- demands a rekey
    PRIMARY KEY (store_name, session_id)
) STRICT;

CREATE TABLE nonces (
    key               BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 16),
    remember_until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is known about the nonces as a whole: one row.
CREATE TABLE replay_memory (
    only_row           INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    remembers_since_ms INTEGER NOT NULL,
    floor_ms           INTEGER NOT NULL DEFAULT 0 -- ends at or before it are refused; it only grows
) STRICT;

INSERT INTO replay_memory (only_row, remembers_since_ms)
VALUES (1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));

CREATE TABLE dids (
    did        TEXT    NOT NULL PRIMARY KEY,
    keys       BLOB    NOT NULL CHECK (length(keys) > 0 AND length(keys) % 32 = 0), -- 32 bytes each
    owner      TEXT    NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT, WITHOUT ROWID;
