-- Uses a refresh token of one session, whose number is in the token and was verified.
-- The same rules stand in adapters/memory/sessions.py: change both. SessionStoreContract holds both to them.
-- KEYS: the account's sessions. ARGV: the session's id, the token's number, the time and the network that it comes
-- from; then after how long without use a session ends, how long after its login, in which time a token may be used
-- again, and for how long the sessions are kept. Times are in microseconds, the last one in milliseconds.
-- Returns the outcome and the number of the token that is good now.

local kept = redis.call('HGET', KEYS[1], ARGV[1])
if not kept then
  return {'unknown', 0}
end
local session = cjson.decode(kept)
local number, now = tonumber(ARGV[2]), tonumber(ARGV[3])
if now - tonumber(session.used) >= tonumber(ARGV[5]) or now - tonumber(session.since) >= tonumber(ARGV[6]) then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return {'unknown', 0}
end
local current = tonumber(session.number)
if session.reused == '' and number >= current then -- a higher number: the last second before a crash was lost
  -- Text, since cjson and tostring write a large number with too few digits.
  session.number = string.format('%.0f', number + 1)
  session.used, session.rotated, session.network = ARGV[3], ARGV[3], ARGV[4]
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(session))
  redis.call('PEXPIRE', KEYS[1], ARGV[8])
  return {'rotated', number + 1}
end
if session.reused == '' and number == current - 1 and now - tonumber(session.rotated) <= tonumber(ARGV[7]) then
  return {'repeated', current}
end
-- Marked and not deleted, so that the next token says the same if this answer is lost before it is acted on.
session.reused = '1'
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(session))
return {'reused', 0}
