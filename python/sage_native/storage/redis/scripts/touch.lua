-- Note use of sessions: times never go back, counts add up, ids that are gone are ignored.
--
-- KEYS  ends; the rows
-- ARGV  for each row: session id; time of last use in ms; records to add
for position = 2, #KEYS do
  local at = (position - 2) * 3
  local row = redis.call(
    'HMGET', KEYS[position], 'last_activity_ms', 'idle_timeout_s', 'expires_ms'
  )
  if row[1] then
    redis.call('HINCRBY', KEYS[position], 'messages', ARGV[at + 3])
    local last_ms = tonumber(ARGV[at + 2])
    if last_ms > tonumber(row[1]) then
      redis.call('HSET', KEYS[position], 'last_activity_ms', ARGV[at + 2])
      local over_ms = math.min(tonumber(row[3]), last_ms + row[2] * 1000)
      redis.call('ZADD', KEYS[1], over_ms, ARGV[at + 1])
    end
  end
end
return #KEYS - 1
