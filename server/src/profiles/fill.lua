-- Fills the copy KEYS[1] with ARGV[1] for ARGV[2] milliseconds, unless a tombstone, or a copy of the
-- same generation or a newer one, is there. A copy begins with its generation in 16 hexadecimal digits.
local there = tonumber(redis.call('GETRANGE', KEYS[1], 0, 15), 16)
if there and there >= tonumber(string.sub(ARGV[1], 1, 16), 16) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
