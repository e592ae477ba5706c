-- Takes the lock, or takes it again for who has it: then the answer to a call
-- before was lost. Returns 1, or 0 if somebody else holds it.
-- KEYS: lock. ARGV: owner, milliseconds.
if held(KEYS[1], ARGV[1], ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
