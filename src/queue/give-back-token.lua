--[[
  Gives back a token for which no call was made. One whose window is over is lost with it.

  KEYS[1]  BullMQ's limiter

  ARGV[1]  from this number on the limiter stands for a hold-back, which is not shortened

  Returns nothing.
]]
local taken = tonumber(redis.call('GET', KEYS[1]) or 0)
if taken > 0 and taken < tonumber(ARGV[1]) then
  redis.call('DECR', KEYS[1])
end
