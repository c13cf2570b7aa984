"""How many jobs one client has waiting.

=============================  ======  ================================================================
key                            type    holds
=============================  ======  ================================================================
``duetto:client:{digest}``     zset    the client's jobs, scored by when an upload still under way counts
                                       no more (seconds since the epoch); 0 once it is a job
=============================  ======  ================================================================

A job counts while it is queued, an upload while it comes in. What no longer counts is dropped at the next
look, so no one else needs to know of this.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Final

import redis

from app.errors import QuotaExceeded

# An upload that was cut off without notice (a killed web process) counts no longer than this.
UPLOAD_S: Final = 3600
_KEPT_S: Final = 7 * 86_400
_RETRY_AFTER_S: Final = 30

# KEYS: the client's set, the index of queued jobs. ARGV: id, most that may wait, now, the upload's end, the set's life.
_RESERVE: Final = """
local waiting = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('ZSCORE', KEYS[2], id) or tonumber(redis.call('ZSCORE', KEYS[1], id)) > tonumber(ARGV[3]) then
    waiting = waiting + 1
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
if waiting >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
"""


class ClientQuota:
    """Counts waiting jobs by client.

    Parameters
    ----------
    client : a Redis client with ``decode_responses=True``
    limit : most jobs that one client may have waiting; 0: any number, and nothing is counted
    clock : seconds since the epoch

    Every method raises `redis.exceptions.RedisError` if Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis, limit: int, clock: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._limit = limit
        self._clock = clock
        self._reserve = client.register_script(_RESERVE)

    def reserve(self, client: str, job_id: str) -> None:
        """Count an upload that begins.

        Raises
        ------
        QuotaExceeded
            If the client has as many waiting as it may.
        """
        if not self._limit:
            return
        now = self._clock()
        arguments: list[str | int] = [job_id, self._limit, repr(now), repr(now + UPLOAD_S), _KEPT_S]
        if not self._reserve(keys=[_key(client), "duetto:jobs:queued"], args=arguments):
            raise QuotaExceeded(
                f"{self._limit} jobs of yours wait already, as many as one client may have; "
                "send the next when one has begun, or cancel one",
                retry_after_s=_RETRY_AFTER_S,
            )

    def confirm(self, client: str, job_id: str) -> None:
        """Note that the upload has become a job: from now on it counts while it is queued."""
        if self._limit:
            self._redis.zadd(_key(client), {job_id: 0.0}, xx=True)

    def release(self, client: str, job_id: str) -> None:
        """Forget an upload that failed, or a job that is deleted."""
        if self._limit:
            self._redis.zrem(_key(client), job_id)


def _key(client: str) -> str:
    return f"duetto:client:{hashlib.sha256(client.encode()).hexdigest()[:32]}"
