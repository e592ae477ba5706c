-- held reports whether another than the owner has the lock. One without an end, or with an
-- end further away than an hour and ten leases, is of no holder of ours: it ends with the
-- asker's lease. A nearer end may be that of a process with a longer lease, and stays: the
-- lock would be free while its holder still counts on it.
local function held(key, owner, lease)
  local has = holder(key)
  if not has or has == owner then
    return false
  end
  local left = redis.call('PTTL', key)
  if left < 0 or left > math.max(3600000, 10 * lease) then
    redis.call('PEXPIRE', key, lease)
  end
  return true
end

