-- Replaces the record if it has the expected version, and returns the new one, or
-- nil if it has another. Repeated with the same id, because the answer was lost,
-- it returns what it returned before.
-- KEYS: record, tombstone, index.
-- ARGV: expected version, or 0 if there must be no record; least new version; id;
-- record; milliseconds to keep it, or 0 for ever; name; channel;
-- what the notice begins with.
local had = redis.call('HMGET', KEYS[1], 'v', 'w', 'r')
if had[2] == ARGV[3] then
  return had[1]
end
if (had[3] and had[1] or '0') ~= ARGV[1] then
  return nil
end
local last = tonumber(had[1] or redis.call('HGET', KEYS[2], 'v') or 0)
local version = string.format('%.0f', math.max(last + 1, tonumber(ARGV[2])))
redis.call('HSET', KEYS[1], 'v', version, 'w', ARGV[3], 'r', ARGV[4])
if ARGV[5] == '0' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
redis.call('ZADD', KEYS[3], 0, ARGV[6])
redis.call('PUBLISH', ARGV[7], ARGV[8] .. ARGV[6])
return version
