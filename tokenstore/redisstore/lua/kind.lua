-- is reports whether a key is of the kind, or is not there. Another program may have put a
-- key of another kind in the place of ours, which no command of ours takes.
local function is(key, kind)
  local has = redis.call('TYPE', key).ok
  return has == kind or has == 'none'
end

-- clear removes a key of another kind. What it says is nothing of ours.
local function clear(key, kind)
  if not is(key, kind) then
    redis.call('DEL', key)
  end
end

-- holder returns who has the lock, or false.
local function holder(key)
  clear(key, 'string')
  return redis.call('GET', key)
end

