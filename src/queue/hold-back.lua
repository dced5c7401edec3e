--[[
  Makes all workers of the queue hold back. A hold-back that lasts longer is left alone.

  KEYS[1]  BullMQ's limiter

  ARGV[1]  for how long, in milliseconds
  ARGV[2]  the number that stands for a hold-back: beyond any limit

  Returns nothing.
]]
local taken = tonumber(redis.call('GET', KEYS[1]) or 0)
if taken < tonumber(ARGV[2]) or redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
end
