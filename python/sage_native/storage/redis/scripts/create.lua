-- Store a session and list it, unless its id is taken or its client has enough.
--
-- KEYS  row; the lists: ids, ends, of the client, of the server, of the KEK
-- ARGV  session id; when it is over; most sessions of the client or ''; fields and values of the row
--
-- Returns the number of sessions; 0 if the id is taken; -1 if the client has enough.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
if ARGV[3] ~= '' and redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[3]) then
  return -1
end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
for _, list in ipairs({KEYS[2], KEYS[4], KEYS[5], KEYS[6]}) do
  redis.call('ZADD', list, 0, ARGV[1])
end
return redis.call('ZCARD', KEYS[2])
