-- Raise the floor of a memory, then drop the buckets that no nonce above it can need.
--
-- KEYS  the memory, whose name begins those of its buckets
-- ARGV  time in ms; length of a bucket in ms; how far two ends of one nonce may differ, in ms
--
-- Returns how many nonces were dropped.
local memory = redis.call('HMGET', KEYS[1], 'floor_ms', 'latest_end_ms')
if not memory[1] then
  return 0
end
local floor_ms = math.max(tonumber(memory[1]), math.min(tonumber(ARGV[1]), tonumber(memory[2])))
redis.call('HSET', KEYS[1], 'floor_ms', floor_ms)
local dropped = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local number = string.match(field, '^bucket:(%d+)$')
  if number and (number + 1) * ARGV[2] + ARGV[3] <= floor_ms then
    local bucket = KEYS[1] .. ':' .. number
    dropped = dropped + redis.call('SCARD', bucket)
    redis.call('UNLINK', bucket)
    redis.call('HDEL', KEYS[1], field)
  end
end
return dropped
