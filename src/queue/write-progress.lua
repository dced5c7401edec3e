--[[
  Writes the progress of a held job, unless another worker has the job by now. If the job was removed, it must not come back as a
  job of nothing but its progress.

  KEYS[1]  BullMQ's lock of the job
  KEYS[2]  the job

  ARGV[1]  the token of its holder
  ARGV[2]  its progress, as JSON

  Returns the mark of cancel.lua if the watch of the job was cancelled, else ''.
]]
if redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('HSET', KEYS[2], 'progress', ARGV[2])
end
return redis.call('HGET', KEYS[2], 'failedReason') or ''
