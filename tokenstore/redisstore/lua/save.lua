-- save replaces the record if it has the expected version, and returns the new one, or
-- nil if it has another. Repeated with the same id, because the answer was lost,
-- it returns what it returned before. wanted is asked in between whether it is to be
-- replaced at all. Nothing is written before all that could fail is done: a script that
-- fails is not undone.
-- keys: record, tombstone, index, and where a record of another kind goes.
-- args: expected version, or 0 if there must be no record; least new version; id;
-- record; milliseconds to keep it, or 0 for ever; name; channel;
-- what the notice begins with.
local function save(keys, args, wanted)
  local ours = is(keys[1], 'hash')
  local had = ours and redis.call('HMGET', keys[1], 'v', 'w', 'r') or {}
  if had[2] == args[3] then
    return wanted() and had[1] or false
  end
  if (had[3] and had[1] or '0') ~= args[1] then
    return nil
  end
  if not wanted() then
    return false
  end
  clear(keys[2], 'hash')
  clear(keys[3], 'zset')
  if not ours then
    redis.call('RENAME', keys[1], keys[4])
  end
  local last = number(had[1] or redis.call('HGET', keys[2], 'v'))
  if last == maxVersion then -- there is none beyond it
    last = 0
  end
  local version = string.format('%.0f', math.max(last + 1, tonumber(args[2])))
  redis.call('HSET', keys[1], 'v', version, 'w', args[3], 'r', args[4])
  if args[5] == '0' then
    redis.call('PERSIST', keys[1])
  else
    redis.call('PEXPIRE', keys[1], args[5])
  end
  redis.call('ZADD', keys[3], 0, args[6])
  -- What is saved is saved: a user who may not publish has others not hear of it.
  redis.pcall('PUBLISH', args[7], args[8] .. version .. ':' .. args[6])
  return version
end

