-- Make a memory this server's own: as it is, or as one that may lack something.
--
-- KEYS  the memory
-- ARGV  run id of this server; id and time in ms for a memory that may lack something; '1' to mark it so
--
-- Returns the memory's id, and since when nothing is missing.
local memory = redis.call('HMGET', KEYS[1], 'run', 'id', 'remembers_since_ms')
if memory[1] == ARGV[1] and memory[2] and ARGV[4] ~= '1' then
  return {memory[2], memory[3]}
end
local since_ms = math.max(tonumber(memory[3] or 0), tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'id', ARGV[2], 'remembers_since_ms', since_ms)
redis.call('HSETNX', KEYS[1], 'floor_ms', 0)
redis.call('HSETNX', KEYS[1], 'latest_end_ms', 0)
return {ARGV[2], string.format('%.0f', since_ms)}
