-- Takes the name of a session that is gone, because its time had come, out of the
-- index.
-- KEYS: record, index. ARGV: name.
if redis.call('EXISTS', KEYS[1]) == 0 then
  clear(KEYS[2], 'zset')
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return 1
