--[[
  Ends the watch of a job, unless it has ended: publishes its event and marks its queue job, or neither. The queue job stays
  where it is. The worker that takes it sees the mark, and makes no call; the one that is on it sees it as it writes the job's
  progress, after one more call at the most.

  KEYS[1]  what is published of this job: "<stream entry id> <status>"
  KEYS[2]  the stream
  KEYS[3]  the queue job
  KEYS[4]  how the sidecars of this stream publish: a hash of endpoint, maxLength, dedupTtlMs

  ARGV[1]  the endpoint to use in place of that of KEYS[4]; empty if there is none
  ARGV[2]  the event's source behind the endpoint
  ARGV[3…] the entry: field, value, field, value …; the value of its source is left empty

  Returns 'cancelled', 'ended' (its event was published before), 'unknown' (no such queue job, or it has ended without an
  event of its own) or 'no endpoint'.
]]
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 'ended'
end
local data, finished = unpack(redis.call('HMGET', KEYS[3], 'data', 'finishedOn'))
if not data or finished then
  return 'unknown'
end
local announced, max_length, ttl = unpack(redis.call('HMGET', KEYS[4], 'endpoint', 'maxLength', 'dedupTtlMs'))
local endpoint = ARGV[1] ~= '' and ARGV[1] or announced
if not endpoint then
  return 'no endpoint'
end

local entry = { 'XADD', KEYS[2] }
-- The defaults of EVENT_STREAM_MAXLEN and EVENT_DEDUP_TTL, until a sidecar has said what they are.
if max_length ~= '0' then
  for _, word in ipairs({ 'MAXLEN', '~', max_length or '100000' }) do
    entry[#entry + 1] = word
  end
end
entry[#entry + 1] = '*'
for n = 3, #ARGV, 2 do
  entry[#entry + 1] = ARGV[n]
  entry[#entry + 1] = ARGV[n] == 'source' and endpoint .. ARGV[2] or ARGV[n + 1]
end
-- XADD comes first: it is the one that can fail (a key of another type, no memory left), and then nothing is remembered.
local id = redis.call(unpack(entry))
redis.call('SET', KEYS[1], id .. ' failed', 'PX', ttl or '604800000')
-- BullMQ gives this field to the worker that takes the job.
redis.call('HSET', KEYS[3], 'failedReason', 'CANCELLED ' .. id)
return 'cancelled'
