--[[
  Makes all workers of the queue wait: BullMQ fetches no job while its rate-limit key stands at or above the maximum. A cool-down
  that lasts longer is left alone.

  KEYS[1]  BullMQ's rate-limit key

  ARGV[1]  for how long, in milliseconds
  ARGV[2]  the number that stands for a cool-down: beyond any maximum
]]
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
if count < tonumber(ARGV[2]) or redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
end
