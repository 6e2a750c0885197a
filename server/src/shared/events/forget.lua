-- Takes the entries of the user ARGV[1] out of the stream KEYS[1], among the first ARGV[3] from ARGV[2] on,
-- and keeps in KEYS[2] what kept_from answers. Answers the last entry that was looked at, or nothing.
local entries = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
if #entries == 0 then
  return false
end
local of_user = {}
for _, entry in ipairs(entries) do
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'user_id' and fields[i + 1] == ARGV[1] then
      of_user[#of_user + 1] = entry[1]
      break
    end
  end
end
if #of_user > 0 then
  local from = kept_from(KEYS[1], KEYS[2]) or redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]
  redis.call('XDEL', KEYS[1], unpack(of_user))
  local count = gone(KEYS[1])
  if count then
    redis.call('HSET', KEYS[2], 'from', from, 'gone', count)
  end
end
return entries[#entries][1]
