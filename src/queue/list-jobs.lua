--[[
  Goes through a part of one of BullMQ's places for jobs and finds those that are asked for.

  KEYS[1]  wait, prioritized or delayed

  ARGV[1]  what it is: list, zset, or due (a zset that is gone through by score)
  ARGV[2]  prefix of the keys of jobs
  ARGV[3]  where to begin: an index; for due a score
  ARGV[4]  the last job that was looked at before, empty at the beginning: for due, the first one behind it is meant
  ARGV[5]  jobs to look at, at most
  ARGV[6]  jobs to find, at most
  ARGV[7]  1: jobs that a worker has started; 0: those that none has
  ARGV[8…] texts that the data of the job contains

  Returns {jobs looked at, 1 if that was the end, index or score to go on from, the job that was looked at last,
  id, score, id, score, …}; the score is 0 but for due.
]]
local kind, prefix, from, last = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local budget, most, started = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local ids
local step = 1
if kind == 'due' then
  ids = redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'WITHSCORES', 'LIMIT', 0, budget)
  step = 2
else
  from = tonumber(from)
  if last ~= '' then
    -- Jobs that came since have moved it on. If a worker has taken it, its index is as good as any.
    local at = kind == 'list' and redis.call('LPOS', KEYS[1], last, 'MAXLEN', 20000) or redis.call('ZRANK', KEYS[1], last)
    if at then from = at + 1 end
  end
  ids = redis.call(kind == 'list' and 'LRANGE' or 'ZRANGE', KEYS[1], from, from + budget - 1)
end

local function is_wanted(id)
  -- First what rules most of them out, without reading their data.
  if redis.call('HEXISTS', prefix .. id, 'ats') ~= started then return false end
  local data, finished = unpack(redis.call('HMGET', prefix .. id, 'data', 'finishedOn'))
  if not data or finished then return false end
  for n = 8, #ARGV do
    if not string.find(data, ARGV[n], 1, true) then return false end
  end
  return true
end

local found = { 0, 0, ARGV[3], last }
local count = 0
for n = 1, #ids, step do
  if count == most then return found end
  local id = ids[n]
  local score = kind == 'due' and ids[n + 1] or '0'
  found[1] = found[1] + 1
  found[3] = kind == 'due' and score or tostring(from + n)
  found[4] = id
  -- Of several with the same score, those up to the last one were looked at before.
  local is_old = kind == 'due' and score == ARGV[3] and id <= last
  if not is_old and is_wanted(id) then
    found[#found + 1] = id
    found[#found + 1] = score
    count = count + 1
  end
end
if #ids / step < budget then found[2] = 1 end
return found
