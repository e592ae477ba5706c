-- Saves a record and releases the lock, if it is still its holder's, in one step: see
-- save. Without the lock it saves all the same, since the version guards the record.
-- KEYS: those of save; lock. ARGV: those of save; owner.
local version = save(KEYS, ARGV, function() return true end)
if version and redis.call('GET', KEYS[4]) == ARGV[9] then
  redis.call('DEL', KEYS[4])
end
return version
