DROP INDEX dids_by_owner;
DROP INDEX nonces_by_end;
DROP INDEX sessions_by_server;
DROP INDEX sessions_by_client;
