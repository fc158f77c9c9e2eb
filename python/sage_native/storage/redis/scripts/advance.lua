-- Replace the secret, epoch and KEK id of a session, if the stored ones are the expected.
--
-- KEYS  row; the list of the new KEK
-- ARGV  what every key of the store begins with; session id; expected epoch; expected KEK id;
--       '1' if the KEK id matters; new epoch; new KEK id; new wrapped secret
--
-- Returns 1; else the stored epoch and KEK id; nil if the session is gone.
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'kek_id')
if not stored[1] then
  return false
end
if stored[1] ~= ARGV[3] or (ARGV[5] == '1' and stored[2] ~= ARGV[4]) then
  return stored
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[6], 'kek_id', ARGV[7], 'wrapped_secret', ARGV[8])
if ARGV[6] ~= stored[1] then
  redis.call('HSET', KEYS[1], 'restored', 0)
end
if ARGV[7] ~= stored[2] then
  redis.call('ZREM', ARGV[1] .. 'kek:' .. stored[2], ARGV[2])
  redis.call('ZADD', KEYS[2], 0, ARGV[2])
end
return 1
