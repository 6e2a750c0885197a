-- Takes one token from the bucket KEYS[1], which holds ARGV[1] tokens and is filled in ARGV[2] ms.
-- Answers 0, or the milliseconds until there is a token, and how many tokens there are still. Only Redis has a clock that all nodes share, and that one may
-- be set: set back it neither gives a token nor holds one back, set ahead it fills the bucket once.
local most, fill_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1] or ''), tonumber(bucket[2] or '')
if tokens and at and tokens >= 0 then
  tokens = math.min(most, tokens + math.max(0, now - at) * most / fill_ms)
else
  tokens = most
end
local wait_ms = 0
if tokens >= 1 then
  tokens = tokens - 1
else
  wait_ms = math.ceil((1 - tokens) * fill_ms / most)
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], fill_ms)
return {wait_ms, math.floor(tokens)}
