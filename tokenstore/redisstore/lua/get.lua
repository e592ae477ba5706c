-- What is stored of a session: its version, its record, and whether one was moved aside
-- as damaged. Of a record that is too long to be read it says "".
-- KEYS: record. ARGV: bytes that a record has at most.
if not is(KEYS[1], 'hash') then
  return {false, false, 1}
end
local record = ''
if redis.call('HSTRLEN', KEYS[1], 'r') <= tonumber(ARGV[1]) then
  record = redis.call('HGET', KEYS[1], 'r')
end
return {redis.call('HGET', KEYS[1], 'v'), record, redis.call('HEXISTS', KEYS[1], 'd')}
