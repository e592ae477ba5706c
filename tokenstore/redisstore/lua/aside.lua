-- Moves a record that cannot be read aside, unless it was replaced since.
-- KEYS: record. ARGV: what was read of it; bytes that a record has at most.
local record = redis.call('HGET', KEYS[1], 'r')
if record and (record == ARGV[1] or #record > tonumber(ARGV[2])) then
  redis.call('HSET', KEYS[1], 'd', record)
  redis.call('HDEL', KEYS[1], 'r')
end
return 1
