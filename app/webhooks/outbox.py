"""The outbox of webhooks: which jobs have an end to be told of, and when it is due.

===============================  ======  ==============================================================
key                              type    holds
===============================  ======  ==============================================================
``duetto:jobs:webhooks``         zset    jobs whose webhook is to be sent, scored by when it is due
===============================  ======  ==============================================================

A job is put in by the very script that writes its end (app/jobs/scripts.py), so no end goes untold, and is taken out
by the one that deletes it. Whoever takes a delivery *claims* it by putting off its score; that is the lease. When a
deliverer dies another follows once it lapses, and one that comes back late finds another score and writes
nothing. So a message may be sent twice, with the same id, but is never lost. How a delivery stands is in the job's
record (`app.jobs.record.Delivery`). Times are seconds since the epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

import redis

from app.jobs.record import Delivery
from app.jobs.scripts import ALLOW_OOM

# Above the time that one attempt may take, with the patience of a resolver added.
LEASE_S: Final = 60.0

OUTBOX: Final = "duetto:jobs:webhooks"

# KEYS: the outbox. ARGV: now, the end of the lease, how many, the prefix of a job's key.
_CLAIM: Final = (
    ALLOW_OOM
    + """
local claimed = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
  local url = redis.call('HGET', ARGV[4] .. id, 'webhook_url')
  if url then
    redis.call('ZADD', KEYS[1], ARGV[2], id)
    table.insert(claimed, id)
    table.insert(claimed, redis.call('ZSCORE', KEYS[1], id))
    table.insert(claimed, url)
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return claimed
"""
)
# KEYS: the outbox. ARGV: the job, the claim, when it is due.
_GIVE_BACK: Final = (
    ALLOW_OOM
    + """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
"""
)
# KEYS: the outbox, the job's hash. ARGV: the job, the claim, when it is due again ('': never), how it stands.
_SETTLE: Final = (
    ALLOW_OOM
    + """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
redis.call('HSET', KEYS[2], 'delivery', ARGV[4])
redis.call('HINCRBY', KEYS[2], 'version', 1)
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours until the lease ends. `token` tells this claim from every other."""

    job_id: str
    token: str
    url: str


class Outbox:
    """The webhooks that are to be sent.

    Parameters
    ----------
    client : a Redis client with ``decode_responses=True`` (`app.broker.connect`)
    clock : seconds since the epoch

    Every method raises `redis.exceptions.RedisError` if Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._clock = clock
        self._claim = client.register_script(_CLAIM)
        self._give_back = client.register_script(_GIVE_BACK)
        self._settle = client.register_script(_SETTLE)

    def claim(self, most: int) -> Sequence[Claim]:
        """Take up to `most` deliveries that are due, for `LEASE_S` seconds, those due longest first."""
        now = self._clock()
        arguments = [repr(now), repr(now + LEASE_S), str(most), "duetto:job:"]
        flat = cast("list[str]", self._claim(keys=[OUTBOX], args=arguments))
        return [Claim(*flat[place : place + 3]) for place in range(0, len(flat), 3)]

    def give_back(self, claim: Claim, after_s: float) -> None:
        """Let go of a delivery without having tried it; it is due again after so many seconds."""
        self._give_back(keys=[OUTBOX], args=[claim.job_id, claim.token, repr(self._clock() + after_s)])

    def settle(self, claim: Claim, delivery: Delivery) -> bool:
        """Write how a delivery stands after an attempt: it is due again at its `next_attempt_at`, or never.

        Return False, with nothing written, if the job was deleted, or the lease ended and another has it.
        """
        due = "" if delivery.next_attempt_at is None else repr(delivery.next_attempt_at)
        arguments = [claim.job_id, claim.token, due, delivery.model_dump_json()]
        return bool(self._settle(keys=[OUTBOX, f"duetto:job:{claim.job_id}"], args=arguments))

    def count(self) -> int:
        """Return how many deliveries are due or will be."""
        return self._redis.zcard(OUTBOX)
