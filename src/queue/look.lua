--[[
  What the housekeeper sees of the queue at one look: the jobs that were added since the last one, and how the backlog stands.

  KEYS[1]  BullMQ's counter of added jobs
  KEYS[2]  BullMQ's events
  KEYS[3]  BullMQ's list of waiting jobs
  KEYS[4]  BullMQ's set of waiting jobs with a priority
  KEYS[5]  BullMQ's set of delayed jobs, scored by 4096 times their due time
  KEYS[6]  BullMQ's list of active jobs
  KEYS[7]  BullMQ's description of the queue
  KEYS[8]  BullMQ's rate-limit key
  KEYS[9]  deadlines of jobs

  ARGV[1]  the last event that was seen; empty if none was
  ARGV[2]  the counter at that time
  ARGV[3]  prefix of the keys of jobs
  ARGV[4]  events to read at the most

  Returns {counter, last event seen, 1 if events may have been missed, ids of added jobs, jobs that wait, jobs that are active,
  1 if the queue is paused, rate-limit key, timestamp of the job that waits for longest, its progress, its options, score of the
  first delayed job, first deadline}.
]]
local counter = redis.call('GET', KEYS[1]) or '0'
local cursor, missed, more, added = ARGV[1], 0, false, {}

local function isBefore(a, b)
  local aTime, aCount = string.match(a, '^(%d+)-(%d+)$')
  local bTime, bCount = string.match(b, '^(%d+)-(%d+)$')
  aTime, bTime = tonumber(aTime), tonumber(bTime)
  return aTime < bTime or (aTime == bTime and tonumber(aCount) < tonumber(bCount))
end

if cursor ~= '' and counter ~= ARGV[2] then
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not first or isBefore(cursor, first[1]) then
    missed = 1
  else
    local events = redis.call('XRANGE', KEYS[2], '(' .. cursor, '+', 'COUNT', ARGV[4])
    for _, event in ipairs(events) do
      local fields = event[2]
      if fields[2] == 'added' then
        added[#added + 1] = fields[4]
      end
      cursor = event[1]
    end
    if #events == tonumber(ARGV[4]) then
      -- The next look goes on from here.
      more = true
      counter = ARGV[2]
    end
  end
end
if cursor == '' then
  missed = 1
end
if missed == 1 or (counter == ARGV[2] and not more) then
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  cursor = last and last[1] or '0-0'
end

local waiting = redis.call('LLEN', KEYS[3])
local oldest = waiting > 0 and redis.call('LINDEX', KEYS[3], -1)
local job = oldest and redis.call('HMGET', ARGV[3] .. oldest, 'timestamp', 'progress', 'opts') or { '', '', '' }
local delayed = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
local deadline = redis.call('ZRANGE', KEYS[9], 0, 0, 'WITHSCORES')
return {
  counter,
  cursor,
  missed,
  added,
  waiting + redis.call('ZCARD', KEYS[4]),
  redis.call('LLEN', KEYS[6]),
  redis.call('HEXISTS', KEYS[7], 'paused'),
  redis.call('GET', KEYS[8]) or '0',
  job[1] or '',
  job[2] or '',
  job[3] or '',
  delayed[2] or '',
  deadline[2] or '',
}
