-- Times are milliseconds since the Unix epoch, as they are signed and bound to the wrapped secrets.

CREATE TABLE sessions (
    store_name       text   NOT NULL CHECK (octet_length(store_name) BETWEEN 1 AND 255),
    session_id       uuid   NOT NULL,
    client_did       text   NOT NULL CHECK (octet_length(client_did) <= 256),
    server_did       text   NOT NULL CHECK (octet_length(server_did) <= 256),
    created_ms       bigint NOT NULL,
    expires_ms       bigint NOT NULL,
    epoch            bigint NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    kek_id           text   NOT NULL,
    wrapped_secret   bytea  NOT NULL CHECK (octet_length(wrapped_secret) <= 1024),
    idle_timeout_s   bigint NOT NULL CHECK (idle_timeout_s > 0),
    last_activity_ms bigint NOT NULL,
    messages         bigint NOT NULL DEFAULT 0,
    metadata         jsonb  NOT NULL DEFAULT '{}',
    restored         boolean NOT NULL DEFAULT false,
    PRIMARY KEY (store_name, session_id)
) WITH (fillfactor = 80); -- room for the updates of last_activity_ms beside their rows

COMMENT ON COLUMN sessions.wrapped_secret IS 'AES-256-GCM-SIV under the key of kek_id, bound to the row';
COMMENT ON COLUMN sessions.restored IS 'out of a backup: demands a rekey, which ends this';

-- Partitions nonces_<bucket> are made ahead and dropped whole. A bucket is ten minutes of the time
-- until which nonces are remembered. A nonce whose end is near that of its bucket stands in the next
-- one too, so that two ends of one nonce always meet in one bucket.
CREATE TABLE nonces (
    bucket bigint NOT NULL,
    key    bytea  NOT NULL CHECK (octet_length(key) = 16),
    PRIMARY KEY (bucket, key)
) PARTITION BY LIST (bucket);

COMMENT ON COLUMN nonces.key IS 'first 16 bytes of SHA-256 over scope, purpose and nonce';

-- What is known about the nonces as a whole: one row.
CREATE TABLE replay_memory (
    only_row           boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    remembers_since_ms bigint NOT NULL,
    floor_ms           bigint NOT NULL DEFAULT 0,
    latest_end_ms      bigint NOT NULL DEFAULT 0,
    system_identifier  bigint NOT NULL,
    timeline_id        bigint NOT NULL,
    database_oid       oid    NOT NULL,
    nonces_oid         oid    NOT NULL
);

COMMENT ON COLUMN replay_memory.floor_ms IS 'ends at or before it are refused; it only grows';
COMMENT ON COLUMN replay_memory.timeline_id IS 'another timeline or system: a failover or a restore, so nonces may be missing';
COMMENT ON COLUMN replay_memory.database_oid IS 'another database: a copy of one as a template, so nonces may be missing';
COMMENT ON COLUMN replay_memory.nonces_oid IS 'another table: a dump that was loaded, so nonces may be missing';

INSERT INTO replay_memory (
    remembers_since_ms, system_identifier, timeline_id, database_oid, nonces_oid
)
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, s.system_identifier, c.timeline_id,
       d.oid, 'nonces'::regclass
FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
WHERE d.datname = current_database();

CREATE TABLE dids (
    did        text    PRIMARY KEY CHECK (octet_length(did) <= 256),
    keys       bytea[] NOT NULL CHECK (cardinality(keys) > 0),
    owner      text    NOT NULL DEFAULT '',
    created_ms bigint  NOT NULL,
    revoked_ms bigint
);
