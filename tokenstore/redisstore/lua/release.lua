-- Releases the lock of its holder, never anybody else's. Returns 1, or 0 if the
-- lock is not the holder's any more.
-- KEYS: lock. ARGV: owner.
if holder(KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
