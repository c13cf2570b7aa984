"""The store's writes in Lua: each runs inside Redis as one step, so two writers cannot interleave.

Keys: ``KEYS[1]`` the job's hash, ``KEYS[2]`` the index of all jobs; the index of one state is
``KEYS[2] .. ':' .. state``. Every script answers ``{word, hash}``: the word is ``ok``, ``missing`` or
``illegal``, the hash is the job's after the write (flat name, value, name, value ...).
"""

from __future__ import annotations

from typing import Final

_ANSWERS: Final = """
local function answer(word) return {word, redis.call('HGETALL', KEYS[1])} end
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {'missing', {}} end
"""

# ARGV: id, created_at, then the hash's names and values.
CREATE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return {'illegal', redis.call('HGETALL', KEYS[1])} end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
local state = redis.call('HGET', KEYS[1], 'state')
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[2] .. ':' .. state, ARGV[2], ARGV[1])
return {'ok', redis.call('HGETALL', KEYS[1])}
"""

# ARGV: id, the new state, the states it may come from (comma before and after each), whether this is
# a new attempt ('1' or ''), then names and values to set.
TRANSITION: Final = (
    _ANSWERS
    + """
if not string.find(ARGV[3], ',' .. state .. ',', 1, true) then return answer('illegal') end
local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[2] .. ':' .. state, ARGV[1])
redis.call('ZADD', KEYS[2] .. ':' .. ARGV[2], score, ARGV[1])
redis.call('HSET', KEYS[1], 'state', ARGV[2], unpack(ARGV, 5))
redis.call('HDEL', KEYS[1], 'stage')
if ARGV[4] == '1' then redis.call('HINCRBY', KEYS[1], 'attempts', 1) end
redis.call('HINCRBY', KEYS[1], 'version', 1)
return answer('ok')
"""
)

# ARGV: id, the time. A queued job ends at once; a running one is asked to; one canceled stays so.
REQUEST_CANCEL: Final = (
    _ANSWERS
    + """
if state == 'canceled' then return answer('ok') end
if state == 'running' then
  if redis.call('HGET', KEYS[1], 'cancel_requested') == '1' then return answer('ok') end
  redis.call('HSET', KEYS[1], 'cancel_requested', '1')
elseif state == 'queued' then
  local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[2] .. ':queued', ARGV[1])
  redis.call('ZADD', KEYS[2] .. ':canceled', score, ARGV[1])
  redis.call('HSET', KEYS[1], 'state', 'canceled', 'cancel_requested', '1', 'finished_at', ARGV[2])
else
  return answer('illegal')
end
redis.call('HINCRBY', KEYS[1], 'version', 1)
return answer('ok')
"""
)

# ARGV: id, the fraction, the stage, all stages in order (comma before and after each).
# Only what moves forward is written, so a late or repeated report changes nothing.
PROGRESS: Final = (
    _ANSWERS
    + """
if state ~= 'running' then return answer('illegal') end
local old_stage = redis.call('HGET', KEYS[1], 'stage')
local old_place = old_stage and string.find(ARGV[4], ',' .. old_stage .. ',', 1, true) or 0
local moved = false
if string.find(ARGV[4], ',' .. ARGV[3] .. ',', 1, true) > old_place then
  redis.call('HSET', KEYS[1], 'stage', ARGV[3])
  moved = true
end
if tonumber(ARGV[2]) > tonumber(redis.call('HGET', KEYS[1], 'progress')) then
  redis.call('HSET', KEYS[1], 'progress', ARGV[2])
  moved = true
end
if moved then redis.call('HINCRBY', KEYS[1], 'version', 1) end
return answer('ok')
"""
)

# ARGV: id.
DELETE: Final = (
    _ANSWERS
    + """
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[2] .. ':' .. state, ARGV[1])
redis.call('DEL', KEYS[1])
return {'ok', {}}
"""
)
