-- Takes the lock and saves a record in one step: see save. Returns the new version;
-- 0 if somebody else holds the lock; nil if the record has another version, whoever
-- holds the lock.
-- KEYS: those of save; lock. ARGV: those of save; owner, milliseconds.
local version = save(KEYS, ARGV, function()
  if held(KEYS[5], ARGV[9], ARGV[10]) then
    return false
  end
  redis.call('SET', KEYS[5], ARGV[9], 'PX', ARGV[10])
  return true
end)
if version == false then
  return 0
end
return version
