--[[
  Finds the jobs that workers are on, and when each is due.

  KEYS[1]  BullMQ's list of active jobs

  ARGV[1]  prefix of the keys of jobs
  ARGV[2]  jobs to look at, at most
  ARGV[3…] texts that the data of the job contains

  Returns id, due time, id, due time, …: in epoch milliseconds, 0 before the first poll.
]]
local found = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, ARGV[2] - 1)) do
  local data, progress = unpack(redis.call('HMGET', ARGV[1] .. id, 'data', 'progress'))
  local is_wanted = data and true
  for n = 3, #ARGV do
    is_wanted = is_wanted and string.find(data, ARGV[n], 1, true)
  end
  if is_wanted then
    found[#found + 1] = id
    found[#found + 1] = progress and string.match(progress, '"dueAt":(%d+)') or '0'
  end
end
return found
