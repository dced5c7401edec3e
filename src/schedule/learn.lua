--[[
  Adds one job to what is known of durations. When an era is over, all counts are halved, so that older jobs count for less
  and a change shows.

  KEYS[1]  the memory, a hash: "e<bin>" and "g<bin>" count jobs that ended or were given up in a bin; "jobs" counts the
           jobs of this era; "era" and "since" tell when it began and when the first job of all was learned (epoch
           milliseconds)

  ARGV[1]  the field to count up: e<bin> or g<bin>
  ARGV[2]  now, in epoch milliseconds
  ARGV[3]  how many jobs an era has at least
  ARGV[4]  how long an era lasts at least, in milliseconds

  Returns how many jobs this era has.
]]
local memory, now = KEYS[1], ARGV[2]
redis.call('HSETNX', memory, 'since', now)
redis.call('HSETNX', memory, 'era', now)
local count = tonumber(redis.call('HGET', memory, ARGV[1])) or 0
redis.call('HSET', memory, ARGV[1], string.format('%.10g', count + 1))
local jobs = redis.call('HINCRBY', memory, 'jobs', 1)
if jobs < tonumber(ARGV[3]) or now - redis.call('HGET', memory, 'era') < tonumber(ARGV[4]) then
  return jobs
end

local fields = redis.call('HGETALL', memory)
for i = 1, #fields, 2 do
  if string.match(fields[i], '^[eg]%d+$') then
    local half = tonumber(fields[i + 1]) / 2
    -- What is left of a single job after a few eras is no knowledge.
    if half < 0.1 then
      redis.call('HDEL', memory, fields[i])
    else
      redis.call('HSET', memory, fields[i], string.format('%.10g', half))
    end
  end
end
redis.call('HSET', memory, 'jobs', 0, 'era', now)
return 0
