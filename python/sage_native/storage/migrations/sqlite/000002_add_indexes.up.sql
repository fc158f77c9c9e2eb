CREATE INDEX sessions_by_client ON sessions (store_name, client_did, session_id);
CREATE INDEX sessions_by_server ON sessions (store_name, server_did, created_ms); -- it only grows
CREATE INDEX nonces_by_end ON nonces (remember_until_ms);
CREATE INDEX dids_by_owner ON dids (owner, did);
