-- For people: sessions without secrets, with times that can be read.
CREATE VIEW session_overview AS
SELECT store_name,
       session_id,
       client_did,
       server_did,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_ms / 1000.0, 'unixepoch')       AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', expires_ms / 1000.0, 'unixepoch')       AS expires_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', last_activity_ms / 1000.0, 'unixepoch') AS last_activity_at,
       idle_timeout_s,
       epoch,
       kek_id,
       messages,
       restored,
       metadata
FROM sessions;
