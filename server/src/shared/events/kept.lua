-- The position from which on only entries of deleted users are gone from the stream KEYS[1]; nothing where
-- KEYS[2] does not say it.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
return kept_from(KEYS[1], KEYS[2])
