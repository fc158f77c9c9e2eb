-- Read rows of a list, in the order of their ids.
--
-- KEYS  list
-- ARGV  what every key of the store begins with; lower bound of the ids; the most to look at; the
--       most to return; KEK id; '1' if it matters; the fields
--
-- Returns the rows, each with its id first; and the last id looked at, or nil at the end.
local ids = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], '+', 'LIMIT', 0, ARGV[3])
local rows, last = {}, nil
for _, id in ipairs(ids) do
  if #rows == tonumber(ARGV[4]) then
    return {rows, last}
  end
  last = id
  local row = redis.call('HMGET', ARGV[1] .. 'row:' .. id, 'kek_id', unpack(ARGV, 7))
  if not row[1] then
    -- Left behind when a script was cut short while its slot moved to another server.
    redis.call('ZREM', KEYS[1], id)
  elseif ARGV[6] == '0' or row[1] == ARGV[5] then
    row[1] = id
    rows[#rows + 1] = row
  end
end
return {rows, #ids == tonumber(ARGV[3]) and last or false}
