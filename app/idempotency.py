"""Idempotency keys: an upload sent twice under one key makes one job.

===============================  ======  ==============================================================
key                              type    holds
===============================  ======  ==============================================================
``duetto:idempotency:{digest}``  hash    ``job``: the job's id, ``fingerprint``: of fields and files
===============================  ======  ==============================================================

A key is claimed once the upload has come in whole, just before its job is made; of two at once, one gets it.
"""

from __future__ import annotations

import hashlib
from typing import Final, cast

import redis

from app.errors import IdempotencyKeyReused

KEPT_S: Final = 86_400

# ARGV: id, fingerprint, seconds to keep it. Answers the id and fingerprint that hold the key.
_CLAIM: Final = """
local held = redis.call('HMGET', KEYS[1], 'job', 'fingerprint')
if held[1] then return held end
redis.call('HSET', KEYS[1], 'job', ARGV[1], 'fingerprint', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {ARGV[1], ARGV[2]}
"""
# ARGV: the id that holds it. Another may have taken it over meanwhile.
_RELEASE: Final = "if redis.call('HGET', KEYS[1], 'job') == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class IdempotencyKeys:
    """Which key made which job. Every method raises `redis.exceptions.RedisError` if Redis cannot be reached."""

    def __init__(self, client: redis.Redis) -> None:
        """`client`: a Redis client with ``decode_responses=True``."""
        self._redis = client
        self._claim = client.register_script(_CLAIM)
        self._release = client.register_script(_RELEASE)

    def is_known(self, owner: str | None, key: str) -> bool:
        """Return whether a job was made with `key` by this owner (None: anyone without an API key)."""
        return bool(self._redis.exists(_name(owner, key)))

    def claim(self, owner: str | None, key: str, job_id: str, fingerprint: str) -> str:
        """Take `key` for `job_id` unless it is taken; return the id of the job that has it.

        Raises
        ------
        IdempotencyKeyReused
            If an upload of another fingerprint has it.
        """
        answer = self._claim(keys=[_name(owner, key)], args=[job_id, fingerprint, KEPT_S])
        held_by, held_for = cast("list[str]", answer)
        if held_for != fingerprint:
            raise IdempotencyKeyReused(
                "this Idempotency-Key came within the last 24 hours with other fields or files; "
                "use a new key for a new upload, and the same key only to send the same one again"
            )
        return held_by

    def release(self, owner: str | None, key: str, job_id: str) -> None:
        """Give `key` up if `job_id` holds it: that job was never made, or is no more."""
        self._release(keys=[_name(owner, key)], args=[job_id])


def _name(owner: str | None, key: str) -> str:
    scoped = f"{owner or ''}\n{key}"
    return f"duetto:idempotency:{hashlib.sha256(scoped.encode()).hexdigest()}"
