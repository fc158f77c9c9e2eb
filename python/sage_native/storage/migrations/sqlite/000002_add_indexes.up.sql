-- Those of one client, or server, lie in the order in which they came.
CREATE INDEX sessions_by_client ON sessions (client_did, store_name);
CREATE INDEX sessions_by_server ON sessions (server_did, store_name);
CREATE INDEX nonces_by_end ON nonces (remember_until_ms);
CREATE INDEX dids_by_owner ON dids (owner, did);
