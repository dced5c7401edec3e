--[[
  Moves an entry that a group cannot handle to the dead letters: appended there and acknowledged here, or neither.

  KEYS[1]  the stream
  KEYS[2]  the stream of dead letters

  ARGV[1]  the group
  ARGV[2]  id of the entry
  ARGV[3…] the dead letter: field, value, field, value …

  Returns the id of the dead letter, or nil if the entry is not pending any more: another consumer has settled it.
]]
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then
  return false
end
-- XADD comes first: it is the one that can fail (no memory left), and then the entry stays pending.
local letter = redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return letter
