-- Count the nonces in the buckets of a memory.
--
-- KEYS  the memory, whose name begins those of its buckets
local count = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local number = string.match(field, '^bucket:(%d+)$')
  if number then
    count = count + redis.call('SCARD', KEYS[1] .. ':' .. number)
  end
end
return count
