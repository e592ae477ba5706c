-- number returns the version in a text, or 0 if it is none that we write: another program
-- may have written it, and no new version may fail for that, or be built on it.
local function number(text)
  local n = text and string.match(text, '^[1-9][0-9]*$') and tonumber(text)
  if not n or n > maxVersion then
    return 0
  end
  return n
end

