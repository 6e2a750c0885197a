-- Frees the key KEYS[1] of what is there unless that is of the type ARGV[1]: gives it the name KEYS[2], or
-- deletes it where no name is said. Answers the type that was there, or nothing.
local found = redis.call('TYPE', KEYS[1]).ok
if found == 'none' or found == ARGV[1] then
  return false
end
if KEYS[2] then
  redis.call('RENAME', KEYS[1], KEYS[2])
else
  redis.call('DEL', KEYS[1])
end
return found
