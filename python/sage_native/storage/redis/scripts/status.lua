-- Read what changes about sessions.
--
-- KEYS  the rows
--
-- Returns a line for each: epoch, last activity in ms and records; empty for one that is gone.
local lines = {}
for position, row in ipairs(KEYS) do
  local status = redis.call('HMGET', row, 'epoch', 'last_activity_ms', 'messages')
  lines[position] = status[1] and table.concat(status, ' ') or ''
end
return table.concat(lines, '\n')
