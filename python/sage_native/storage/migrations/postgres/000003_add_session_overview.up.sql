-- For people: sessions without secrets, with times that can be read.
CREATE VIEW session_overview AS
SELECT store_name,
       session_id,
       client_did,
       server_did,
       to_timestamp(created_ms / 1000.0)       AS created_at,
       to_timestamp(expires_ms / 1000.0)       AS expires_at,
       to_timestamp(last_activity_ms / 1000.0) AS last_activity_at,
       make_interval(secs => idle_timeout_s)   AS idle_timeout,
       epoch,
       kek_id,
       messages,
       restored,
       metadata
FROM sessions;
