"""The store's writes in Lua: each runs inside Redis as one step, so two writers cannot interleave.

Keys: ``KEYS[1]`` the job's hash, ``KEYS[2]`` the index of all jobs; the index of one state is
``KEYS[2] .. ':' .. state``, that of those waiting in one queue ``KEYS[2] .. ':queued:' .. queue``, that of one owner
``KEYS[2] .. ':of:' .. owner``. Every script answers
``{word, hash}``: the word is ``ok``, ``missing`` or ``illegal``, the hash is the job's after the write (flat
name, value, name, value ...).
"""

# The lease of the running attempt (app/jobs/lease.py) is three fields of the hash: `heartbeat_at`, by Redis's own
# clock, so that the machines need not agree on the time (absent: nobody has the job); `worker`, who that is;
# `resent_at`, when the job was sent to the queue again because its message or its worker had vanished.
# Two more words of an answer: `held`, an attempt has the job; `lost`, not the attempt that speaks.

from __future__ import annotations

from typing import Final

# Begins a script that writes even when Redis has reached `maxmemory`: one that adds next to nothing, and without
# which work that could make room is lost. The others need none: what ends, expires or deletes a job removes an index
# entry first, and a script that has begun to write may go on.
ALLOW_OOM: Final = "#!lua flags=allow-oom\n"

_ANSWERS: Final = """
local function answer(word) return {word, redis.call('HGETALL', KEYS[1])} end
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return {'missing', {}} end
-- The end of a job whose user wants to be told of it goes into the outbox (app/webhooks/outbox.py) together with it.
local function announce(ended)
  if redis.call('HEXISTS', KEYS[1], 'webhook_url') == 0 then return end
  redis.call('HSET', KEYS[1], 'webhook_event', ended)
  redis.call('ZADD', KEYS[2] .. ':webhooks', redis.call('HGET', KEYS[1], 'finished_at'), ARGV[1])
end
-- Takes the job out of the index of its state, and one that waits out of that of its queue.
local function leave_state()
  redis.call('ZREM', KEYS[2] .. ':' .. state, ARGV[1])
  if state == 'queued' then
    redis.call('ZREM', KEYS[2] .. ':queued:' .. (redis.call('HGET', KEYS[1], 'queue') or ''), ARGV[1])
  end
end
local function fenced(attempt)
  return attempt ~= '' and redis.call('HGET', KEYS[1], 'attempts') ~= attempt
end
local function clock()
  local now = redis.call('TIME')
  return now[1] .. '.' .. string.format('%06d', now[2])
end
"""

# ARGV: id, created_at, then the hash's names and values.
CREATE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return {'illegal', redis.call('HGETALL', KEYS[1])} end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
local state = redis.call('HGET', KEYS[1], 'state')
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[2] .. ':' .. state, ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[2] .. ':queued:' .. redis.call('HGET', KEYS[1], 'queue'), ARGV[2], ARGV[1])
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner then redis.call('ZADD', KEYS[2] .. ':of:' .. owner, ARGV[2], ARGV[1]) end
return {'ok', redis.call('HGETALL', KEYS[1])}
"""

# ARGV: id, the new state, the states it may come from (comma before and after each), the attempt that
# speaks ('': anyone), then names and values to set.
TRANSITION: Final = (
    _ANSWERS
    + """
if not string.find(ARGV[3], ',' .. state .. ',', 1, true) then return answer('illegal') end
if fenced(ARGV[4]) then return answer('lost') end
local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
leave_state()
redis.call('ZADD', KEYS[2] .. ':' .. ARGV[2], score, ARGV[1])
redis.call('HSET', KEYS[1], 'state', ARGV[2], unpack(ARGV, 5))
if ARGV[2] ~= 'expired' then announce(ARGV[2]) end
redis.call('HDEL', KEYS[1], 'stage', 'heartbeat_at', 'worker', 'resent_at')
redis.call('HINCRBY', KEYS[1], 'version', 1)
return answer('ok')
"""
)

# ARGV: id, the time, the worker, the most attempts. Only a queued job, or a running one whose attempt was
# declared lost (its heartbeat removed): a message that comes twice must not start a job twice.
START: Final = (
    _ANSWERS
    + """
if state ~= 'queued' and state ~= 'running' then return answer('illegal') end
if redis.call('HEXISTS', KEYS[1], 'heartbeat_at') == 1 then return answer('held') end
if tonumber(redis.call('HGET', KEYS[1], 'attempts')) >= tonumber(ARGV[4]) then return answer('held') end
local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
leave_state()
redis.call('ZADD', KEYS[2] .. ':running', score, ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'running', 'started_at', ARGV[2], 'progress', '0.0',
  'worker', ARGV[3], 'heartbeat_at', clock())
redis.call('HDEL', KEYS[1], 'stage', 'resent_at')
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HINCRBY', KEYS[1], 'version', 1)
return answer('ok')
"""
)

# ARGV: id, the attempt. Not a change that anyone sees, so `version` stays.
BEAT: Final = (
    ALLOW_OOM
    + _ANSWERS
    + """
if state ~= 'running' then return answer('illegal') end
if fenced(ARGV[2]) or redis.call('HEXISTS', KEYS[1], 'heartbeat_at') == 0 then return answer('lost') end
redis.call('HSET', KEYS[1], 'heartbeat_at', clock())
return answer('ok')
"""
)

# ARGV: id, the attempt, the heartbeat it was last seen with ('': any). Takes the job away from its attempt.
RELEASE: Final = (
    _ANSWERS
    + """
if state ~= 'running' then return answer('illegal') end
local beat = redis.call('HGET', KEYS[1], 'heartbeat_at')
if fenced(ARGV[2]) or not beat or (ARGV[3] ~= '' and ARGV[3] ~= beat) then return answer('lost') end
redis.call('HDEL', KEYS[1], 'heartbeat_at', 'worker', 'resent_at')
return answer('ok')
"""
)

# ARGV: id. Noted before the message is sent: a sender that dies in between leaves a job that is sent later.
NOTE_RESENT: Final = (
    _ANSWERS
    + """
if state ~= 'queued' and state ~= 'running' then return answer('illegal') end
if redis.call('HEXISTS', KEYS[1], 'heartbeat_at') == 1 then return answer('held') end
redis.call('HSET', KEYS[1], 'resent_at', clock())
return answer('ok')
"""
)

# ARGV: id, the time. A queued job ends at once; a running one is asked to; one canceled stays so.
REQUEST_CANCEL: Final = (
    ALLOW_OOM
    + _ANSWERS
    + """
if state == 'canceled' then return answer('ok') end
if state == 'running' then
  if redis.call('HGET', KEYS[1], 'cancel_requested') == '1' then return answer('ok') end
  redis.call('HSET', KEYS[1], 'cancel_requested', '1')
elseif state == 'queued' then
  local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
  leave_state()
  redis.call('ZADD', KEYS[2] .. ':canceled', score, ARGV[1])
  redis.call('HSET', KEYS[1], 'state', 'canceled', 'cancel_requested', '1', 'finished_at', ARGV[2])
  announce('canceled')
else
  return answer('illegal')
end
redis.call('HINCRBY', KEYS[1], 'version', 1)
return answer('ok')
"""
)

# ARGV: id, the fraction, the stage, all stages in order (comma before and after each), the attempt that
# speaks ('': anyone).
# Only what moves forward is written, so a late or repeated report changes nothing.
PROGRESS: Final = (
    _ANSWERS
    + """
if state ~= 'running' then return answer('illegal') end
if fenced(ARGV[5]) then return answer('lost') end
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
leave_state()
redis.call('ZREM', KEYS[2] .. ':webhooks', ARGV[1])
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner then redis.call('ZREM', KEYS[2] .. ':of:' .. owner, ARGV[1]) end
redis.call('DEL', KEYS[1])
return {'ok', {}}
"""
)
