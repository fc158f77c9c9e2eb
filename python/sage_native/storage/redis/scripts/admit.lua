-- Admit request nonces, each once. The theory is in nonces.py.
--
-- KEYS  the memory; the buckets that the nonces need
-- ARGV  run id of this server; memory id; the nonces, packed; the numbers of the buckets
-- Each nonce: 16 bytes of key, end in ms (double), its bucket, its neighbour or 0 (16 bits each).
--
-- Returns a letter for each nonce: F fresh, R replay, O out of memory. Nil: another memory.
local memory = redis.call('HMGET', KEYS[1], 'run', 'id', 'floor_ms', 'latest_end_ms')
if memory[1] ~= ARGV[1] or memory[2] ~= ARGV[2] then
  return false
end
local floor_ms, latest_end_ms = tonumber(memory[3]), tonumber(memory[4])
local nonces, at, letters, listed = ARGV[3], 1, {}, {}
local newest_ms = latest_end_ms

-- What the memory does not list is never dropped, so a bucket is listed before it is filled.
local function remember(bucket, key)
  if not listed[bucket] then
    local answer = redis.pcall('HSETNX', KEYS[1], 'bucket:' .. ARGV[bucket + 3], 1)
    if type(answer) == 'table' then
      return answer
    end
    listed[bucket] = true
  end
  return redis.pcall('SADD', KEYS[bucket + 1], key)
end

local function is_member(bucket, key)
  return bucket > 0 and redis.call('SISMEMBER', KEYS[bucket + 1], key) == 1
end

while at <= #nonces do
  local key, end_ms, bucket, neighbour
  key, end_ms, bucket, neighbour, at = struct.unpack('>c16dHH', nonces, at)
  local letter = 'R'
  if end_ms > floor_ms and not is_member(neighbour, key) then
    local added = remember(bucket, key)
    if added == 1 then
      letter = 'F'
      newest_ms = math.max(newest_ms, end_ms)
    elseif added ~= 0 then
      if not string.find(added.err, 'OOM', 1, true) then
        return added
      end
      letter = is_member(bucket, key) and 'R' or 'O'
    end
  end
  letters[#letters + 1] = letter
end
if newest_ms > latest_end_ms then
  redis.call('HSET', KEYS[1], 'latest_end_ms', newest_ms)
end
return table.concat(letters)
