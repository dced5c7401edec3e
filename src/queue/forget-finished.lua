--[[
  Reads how jobs ended. BullMQ may keep a finished job for longer than its end is remembered; such a job is removed, since
  BullMQ would take the same job, added once more, for a duplicate. A job that is not finished is left alone.

  KEYS[1]     the queue's completed jobs
  KEYS[2]     the queue's failed jobs
  KEYS[3, 4]  the first job: its key in the queue, and the memory of its end; KEYS[5, 6] the second, and so on

  ARGV[n]     the BullMQ id of the n-th job

  Returns for each job its memory, "<stream entry id> <status>", or nil if there is none.
]]
local remembered = {}
for n, id in ipairs(ARGV) do
  local key = KEYS[2 * n + 1]
  local memory = redis.call('GET', KEYS[2 * n + 2])
  remembered[n] = memory
  if not memory and redis.call('ZREM', KEYS[1], id) + redis.call('ZREM', KEYS[2], id) > 0 then
    redis.call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed', key .. ':unsuccessful')
  end
end
return remembered
