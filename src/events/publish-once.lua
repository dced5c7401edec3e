--[[
  Appends an event to the stream unless its job was published before: both the memory and the entry, or neither.

  KEYS[1]  memory of this job: "<stream entry id> <status>"
  KEYS[2]  the stream

  ARGV[1]  how long to remember, in milliseconds
  ARGV[2]  entries to keep at least in the stream, approximately; 0 never trims
  ARGV[3]  the status to remember: completed or failed
  ARGV[4…] the entry: field, value, field, value …

  Returns {1, entry id} if the event was appended, {0, entry id} if the job was published before.
]]
local known = redis.call('GET', KEYS[1])
if known then
  return { 0, string.match(known, '^%S+') }
end

-- XADD comes first: it is the one that can fail (a key of another type, no memory left), and then nothing is remembered.
local entry
if ARGV[2] == '0' then
  entry = redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))
else
  entry = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 4))
end
redis.call('SET', KEYS[1], entry .. ' ' .. ARGV[3], 'PX', ARGV[1])
return { 1, entry }
