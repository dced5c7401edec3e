--[[
  Whether a held job may make a further call: not if another job comes first, one that waits or is due and not yet fetched, not in
  a paused queue, and not during a cool-down.

  KEYS[1]  BullMQ's list of waiting jobs
  KEYS[2]  BullMQ's set of waiting jobs with a priority
  KEYS[3]  BullMQ's description of the queue
  KEYS[4]  BullMQ's rate-limit key
  KEYS[5]  BullMQ's set of delayed jobs, scored by 4096 times their due time

  ARGV[1]  jobs that were due before this time, in epoch milliseconds, come first
  ARGV[2]  the number from which on the rate-limit key stands for a cool-down

  Returns 0 if it may, the rest of a cool-down in milliseconds, or -1.
]]
if tonumber(redis.call('GET', KEYS[4]) or 0) >= tonumber(ARGV[2]) then
  return math.max(1, redis.call('PTTL', KEYS[4]))
end
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 or redis.call('HEXISTS', KEYS[3], 'paused') == 1 then
  return -1
end
if redis.call('ZCOUNT', KEYS[5], '-inf', ARGV[1] * 0x1000) > 0 then
  return -1
end
return 0
