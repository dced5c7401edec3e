--[[
  One process says that it lives and how many calls a second it wants, and gets its share of the rate. The shares of all that
  have spoken lately never add up to more than the limit: a share grows only by what others have let go.

  One of the processes is the housekeeper, by a lease in the same hash.

  KEYS[1]  hash of the fleet: process -> "<lease end> <share> <wanted>"; "housekeeper" -> "<lease end> <process>";
           "found" -> what the housekeeper found last, as JSON
  KEYS[2]  BullMQ's counter of added jobs

  ARGV[1]  this process
  ARGV[2]  calls a second that it wants, a whole number; -1 to leave
  ARGV[3]  the limit, calls a second, a whole number; 0 for no limit
  ARGV[4]  length of a lease, in milliseconds
  ARGV[5]  what it found, if it is the housekeeper; else empty

  Returns {Redis's time in microseconds, share, 1 if it is the housekeeper, processes, how many of them have a smaller name, found,
  the counter if it is the housekeeper}.
]]
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local me, want, limit, leaseMs = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local hash = redis.call('HGETALL', KEYS[1])

local processes, gone, found, keeper, keeperUntil = {}, {}, '', nil, 0
local granted, place = 0, 0
for i = 1, #hash, 2 do
  local field, value = hash[i], hash[i + 1]
  if field == 'found' then
    found = value
  elseif field == 'housekeeper' then
    local leaseEnd, process = string.match(value, '^(%d+) (.+)$')
    keeper, keeperUntil = process, tonumber(leaseEnd) or 0
  elseif field ~= me then
    local leaseEnd, share, wanted = string.match(value, '^(%d+) (%d+) (%d+)$')
    if leaseEnd and tonumber(leaseEnd) > now then
      granted = granted + tonumber(share)
      place = place + (field < me and 1 or 0)
      processes[#processes + 1] = { id = field, want = tonumber(wanted) }
    else
      gone[#gone + 1] = field
    end
  end
end
if #gone > 0 then
  redis.call('HDEL', KEYS[1], unpack(gone, 1, math.min(#gone, 1000)))
end

if want < 0 then
  redis.call('HDEL', KEYS[1], me)
  if keeper == me then
    redis.call('HDEL', KEYS[1], 'housekeeper')
  end
  return { micros, 0, 0, #processes, 0, found, '' }
end

-- Max-min fair, in whole calls: a process that wants little gets that, the others split the rest. What no process wants is
-- split as well, so that a burst starts at once.
processes[#processes + 1] = { id = me, want = want }
table.sort(processes, function(a, b)
  if a.want ~= b.want then
    return a.want < b.want
  end
  return a.id < b.id
end)
local left, fair = limit, 0
for i, process in ipairs(processes) do
  local share = math.min(process.want, math.floor(left / (#processes - i + 1)))
  left = left - share
  if process.id == me then
    fair = share
  end
end
for i, process in ipairs(processes) do
  if process.id == me then
    -- The last ones want most.
    local rank = #processes - i
    fair = fair + math.floor(left / #processes) + (rank < left % #processes and 1 or 0)
  end
end
local share = math.max(0, math.min(fair, limit - granted))

local lease = string.format('%.0f', now + leaseMs)
local fields = { me, lease .. ' ' .. share .. ' ' .. want }
local keeps = keeper == nil or keeper == me or keeperUntil <= now
if keeps then
  fields[3], fields[4] = 'housekeeper', lease .. ' ' .. me
  if ARGV[5] ~= '' then
    fields[5], fields[6] = 'found', ARGV[5]
    found = ''
  end
end
redis.call('HSET', KEYS[1], unpack(fields))
return { micros, share, keeps and 1 or 0, #processes, place, found, keeps and redis.call('GET', KEYS[2]) or '' }
