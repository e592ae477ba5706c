-- Moves a record that cannot be read aside, unless it was replaced since.
-- KEYS: record. ARGV: what was read of it.
if redis.call('HGET', KEYS[1], 'r') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'd', ARGV[1])
  redis.call('HDEL', KEYS[1], 'r')
end
return 1
