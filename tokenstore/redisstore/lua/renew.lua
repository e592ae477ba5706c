-- Prolongs the lock for its holder. Returns 1, or 0 if it is somebody else's, or
-- nobody's: then somebody else may have had it in between.
-- KEYS: lock. ARGV: owner, milliseconds.
if holder(KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
