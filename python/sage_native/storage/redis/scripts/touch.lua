-- Note use of sessions: times never go back, counts add up, ids that are gone are ignored.
--
-- KEYS  ends; the rows, whose names end with their ids of 36 bytes
-- ARGV  time of last use in ms and records to add (doubles), of each row
local at = 1
for position = 2, #KEYS do
  local key, last_ms, messages = KEYS[position], nil, nil
  last_ms, messages, at = struct.unpack('>dd', ARGV[1], at)
  local row = redis.call('HMGET', key, 'last_activity_ms', 'idle_timeout_s', 'expires_ms')
  if row[1] then
    redis.call('HINCRBY', key, 'messages', messages)
    if last_ms > tonumber(row[1]) then
      redis.call('HSET', key, 'last_activity_ms', last_ms)
      local over_ms = math.min(tonumber(row[3]), last_ms + row[2] * 1000)
      redis.call('ZADD', KEYS[1], over_ms, string.sub(key, -36))
    end
  end
end
return #KEYS - 1
