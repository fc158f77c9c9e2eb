DROP TABLE dids;
DROP TABLE replay_memory;
DROP TABLE nonces;
DROP TABLE sessions;
