-- Takes tokens from many buckets at once, on this server's clock alone.
--
-- A bucket is one number: the microsecond at which it will be full again. A token taken moves it
-- on by one interval. A missing key is a full bucket, so keys expire when they have become full.
--
-- KEYS[i]              the bucket
-- ARGV[3i-2 .. 3i]     its capacity in tokens, microseconds per token, tokens wanted
-- Returns per bucket   tokens granted, microseconds until it is full again; flat, in order
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local answers = {}

for i = 1, #KEYS do
  local interval = tonumber(ARGV[3 * i - 1])
  local full = tonumber(ARGV[3 * i - 2]) * interval

  -- pcall: a value of another type than ours counts as none, instead of failing all the others.
  local stored = redis.pcall('GET', KEYS[i])
  local until_full = 0
  if type(stored) == 'string' then
    until_full = math.max(0, (tonumber(stored) or now) - now)
  end
  -- Never emptier than empty: the clock was set back, or the limit is another one now. Kept even
  -- if nothing is granted, or the bucket would stay empty until the old limit had filled it.
  local is_other = until_full > full
  until_full = math.min(full, until_full)

  local granted = math.min(tonumber(ARGV[3 * i]), math.floor((full - until_full) / interval))
  if granted > 0 or is_other then
    until_full = until_full + granted * interval
    -- %.0f: all digits, however this server writes large numbers by itself. One millisecond more
    -- than it takes, because expiry counts in whole ones.
    redis.call('SET', KEYS[i], string.format('%.0f', now + until_full),
      'PX', string.format('%.0f', math.ceil(until_full / 1000) + 1))
  end
  answers[2 * i - 1] = granted
  answers[2 * i] = until_full
end

return answers
