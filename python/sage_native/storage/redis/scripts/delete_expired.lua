-- Delete sessions that are over by age, or by a silence longer than allowed and grace.
--
-- KEYS  ends
-- ARGV  what every key of the store begins with; time in ms; grace in ms; how many to pass over;
--       the most to look at
--
-- Returns how many were deleted, how many were kept.
local now_ms, grace_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', ARGV[4], ARGV[5])
local deleted, kept = 0, 0
for _, id in ipairs(ids) do
  local row = redis.call(
    'HMGET', ARGV[1] .. 'row:' .. id, 'expires_ms', 'last_activity_ms', 'idle_timeout_s'
  )
  if not row[1] then
    redis.call('ZREM', KEYS[1], id)
  elseif now_ms >= tonumber(row[1]) or now_ms >= row[2] + row[3] * 1000 + grace_ms then
    deleted = deleted + drop(ARGV[1], id)
  else
    kept = kept + 1
  end
end
return {deleted, kept, #ids}
