DROP INDEX dids_by_owner;
DROP INDEX sessions_by_server;
DROP INDEX sessions_by_client;
