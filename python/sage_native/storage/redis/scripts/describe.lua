-- Replace the metadata of a session.
--
-- KEYS  row
-- ARGV  metadata
--
-- Returns 1, or 0 if the session is gone.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'metadata', ARGV[1])
return 1
