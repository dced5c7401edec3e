--[[
  Takes a token for one more call of a job that is held, from the limiter by which BullMQ gates the fetching of jobs. There
  is none where somebody else comes first: jobs that wait, or that are due and not yet fetched.

  KEYS[1]  BullMQ's limiter: calls in this window; a hold-back is a number beyond any limit
  KEYS[2]  BullMQ's list of waiting jobs
  KEYS[3]  BullMQ's set of waiting jobs with a priority
  KEYS[4]  BullMQ's set of delayed jobs, scored by 4096 times their due time
  KEYS[5]  BullMQ's description of the queue

  ARGV[1]  calls in a window at the most
  ARGV[2]  length of a window, in milliseconds
  ARGV[3]  jobs that were due before this time, in epoch milliseconds, come first

  Returns 1 where a token was taken, else 0.
]]
if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 or redis.call('HEXISTS', KEYS[5], 'paused') == 1 then
  return 0
end
if redis.call('ZCOUNT', KEYS[4], '-inf', ARGV[3] * 0x1000) > 0 then
  return 0
end
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then
  return 0
end
if redis.call('INCR', KEYS[1]) == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
