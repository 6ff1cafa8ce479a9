-- Judges a request under every policy, then charges all of them or none, on this server's own clock.
-- The same rules stand in `judged`, `_bucket` and `_window` of domain/model/judging.py: change both.
-- KEYS: a subject's state for each policy.
-- ARGV: the cost, "charge" or "dry run", then for each policy its algorithm, its requests, its period and the interval
-- in microseconds.
-- Returns for each policy what remains, when it is whole again, and how long until it admits what it refused.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local cost = tonumber(ARGV[1])

-- A number of microseconds has too many digits for tostring.
local function text(number)
  return string.format('%.0f', number)
end

local function bucket(key, requests, per, interval)
  local full = requests * interval
  local before = tonumber(redis.call('GET', key)) or now
  if before > now + full then -- the clock was set back; uncapped, the subject would stay locked out
    before = now + full
    redis.call('SET', key, text(before), 'PX', math.ceil(full / 1000) + 1000)
  end
  before = math.max(before, now)
  local policy = {retry = math.max(0, before + cost * interval - now - full)}
  function policy.charge(charged)
    local after = before + charged * interval
    policy.remaining = math.floor(math.max(0, full - (after - now)) / interval)
    policy.reset = after - now
    if charged > 0 then
      redis.call('SET', key, text(after), 'PX', math.ceil(policy.reset / 1000) + 1000)
    end
  end
  return policy
end

local function window(key, requests, per)
  local newest = tonumber(redis.call('LINDEX', key, -1))
  if newest and newest > now then -- the clock was set back
    local times = redis.call('LRANGE', key, 0, -1)
    redis.call('DEL', key)
    for _, at in ipairs(times) do
      redis.call('RPUSH', key, text(math.min(tonumber(at), now)))
    end
    redis.call('PEXPIRE', key, math.ceil(per / 1000) + 1000)
  end
  local oldest = tonumber(redis.call('LINDEX', key, 0))
  while oldest and oldest <= now - per do
    redis.call('LPOP', key)
    oldest = tonumber(redis.call('LINDEX', key, 0))
  end
  local counted = redis.call('LLEN', key)
  local too_many = counted + cost - requests
  local policy = {retry = 0}
  if cost > 0 and too_many > 0 then
    policy.retry = tonumber(redis.call('LINDEX', key, too_many - 1)) + per - now
  end
  function policy.charge(charged)
    for _ = 1, charged do
      redis.call('RPUSH', key, text(now))
    end
    if charged > 0 then
      redis.call('PEXPIRE', key, math.ceil(per / 1000) + 1000)
    end
    local last = tonumber(redis.call('LINDEX', key, -1))
    policy.remaining = math.max(0, requests - counted - charged)
    policy.reset = last and last + per - now or 0
  end
  return policy
end

local policies = {}
local charged = ARGV[2] == 'charge' and cost or 0
for number, key in ipairs(KEYS) do
  local at = 4 * number - 1
  local judge = ARGV[at] == 'token bucket' and bucket or window
  local policy = judge(key, tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
  if policy.retry > 0 then
    charged = 0
  end
  policies[number] = policy
end

local answer = {}
for number, policy in ipairs(policies) do
  policy.charge(charged)
  answer[3 * number - 2] = policy.remaining
  answer[3 * number - 1] = policy.reset
  answer[3 * number] = policy.retry
end
return answer
