-- How many entries of the stream are gone, cut off or deleted; nothing on a Redis before 7, which does not
-- count them.
local function gone(stream)
  local answer, about = redis.call('XINFO', 'STREAM', stream), {}
  for i = 1, #answer, 2 do
    about[answer[i]] = answer[i + 1]
  end
  local added = about['entries-added']
  return added and tostring(added - about['length'])
end

-- The position from which on only entries of deleted users are gone, if that is known.
local function kept_from(stream, kept)
  local known = redis.call('HMGET', kept, 'from', 'gone')
  return known[1] and known[2] == gone(stream) and known[1]
end

