-- Saves a record and releases the lock, if it is still its holder's, in one step: see
-- save. Without the lock it saves all the same, since the version guards the record.
-- KEYS: those of save; lock. ARGV: those of save; owner.
local version = save(KEYS, ARGV, function() return true end)
if version and holder(KEYS[5]) == ARGV[9] then
  redis.call('DEL', KEYS[5])
end
return version
