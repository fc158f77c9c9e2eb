-- Included before the scripts that delete sessions. Lists are named after what the row says; their
-- hash tag is that of the keys handed in.
local function drop(base, id)
  local row = base .. 'row:' .. id
  local names = redis.call('HMGET', row, 'client_did', 'server_did', 'kek_id')
  redis.call('ZREM', base .. 'ids', id)
  redis.call('ZREM', base .. 'ends', id)
  if not names[1] then
    return 0
  end
  redis.call('ZREM', base .. 'client:' .. names[1], id)
  redis.call('ZREM', base .. 'server:' .. names[2], id)
  redis.call('ZREM', base .. 'kek:' .. names[3], id)
  return redis.call('DEL', row)
end
