-- Deletes the record if it has the given version, and leaves a tombstone: this was
-- somebody's wish, and no version up to this one may come again. Returns 1, or 0 if
-- there is no record, or -1 if it has another version. Repeated with the same id,
-- because the answer was lost, it returns what it returned before.
-- KEYS: record, tombstone, index, and where a record of another kind went.
-- ARGV: version, id, milliseconds to keep the tombstone, name, channel, a version
-- beyond all so far, also those that Redis has lost, by the deleter's clock; what the
-- notice begins with.
local had = is(KEYS[1], 'hash') and redis.call('HMGET', KEYS[1], 'v', 'r') or {}
clear(KEYS[2], 'hash')
clear(KEYS[3], 'zset')
local tomb = redis.call('HMGET', KEYS[2], 'v', 'w')
if not had[1] and tomb[2] == ARGV[2] then
  return 1
end
if had[2] and had[1] ~= ARGV[1] then
  return -1
end
local version = math.max(number(had[1]), number(tomb[1]), number(ARGV[1]), tonumber(ARGV[6]))
redis.call('HSET', KEYS[2], 'v', string.format('%.0f', version), 'w', had[2] and ARGV[2] or '')
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('DEL', KEYS[1], KEYS[4])
redis.call('ZREM', KEYS[3], ARGV[4])
if not had[1] then
  return 0
end
-- As in save: it is deleted, whether the user may publish or not.
redis.pcall('PUBLISH', ARGV[5], ARGV[7] .. '0:' .. ARGV[4])
return had[2] and 1 or 0
