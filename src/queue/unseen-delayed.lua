--[[
  Finds jobs that their producer has delayed: no worker has ever seen them.

  KEYS[1]  BullMQ's set of delayed jobs

  ARGV[1]  prefix of the keys of jobs
  ARGV[2]  rank of the first job to look at
  ARGV[3]  rank of the last job to look at

  Returns the number of jobs looked at, then the ids of those found.
]]
local ids = redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3])
local found = { #ids }
for _, id in ipairs(ids) do
  -- BullMQ counts here how often a job was started.
  if redis.call('HEXISTS', ARGV[1] .. id, 'ats') == 0 then
    found[#found + 1] = id
  end
end
return found
