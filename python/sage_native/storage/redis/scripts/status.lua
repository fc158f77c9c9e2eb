-- Read what changes about sessions.
--
-- KEYS  the rows
--
-- Returns epoch, last activity in ms and records for each; nil for one that is gone.
local found = {}
for position, row in ipairs(KEYS) do
  local status = redis.call('HMGET', row, 'epoch', 'last_activity_ms', 'messages')
  found[position] = status[1] and status or false
end
return found
