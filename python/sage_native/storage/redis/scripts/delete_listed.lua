-- Delete sessions of one list.
--
-- KEYS  list
-- ARGV  what every key of the store begins with; the most to delete
--
-- Returns the ids of those that were there, and how many were listed.
local ids = redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)
local gone = {}
for _, id in ipairs(ids) do
  if drop(ARGV[1], id) == 1 then
    gone[#gone + 1] = id
  end
  redis.call('ZREM', KEYS[1], id)
end
return {gone, #ids}
