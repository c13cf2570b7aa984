"""Which workers there are: each says so every few seconds, and the web process and `duetto doctor` read it.

==============================  ======  ==========================================================
key                             type    holds
==============================  ======  ==========================================================
``duetto:workers``              zset    workers by name, scored by their last word (Redis's clock)
``duetto:workers:about``        hash    what each said of itself, as JSON
==============================  ======  ==========================================================

Apart from the leases of jobs (app/jobs/lease.py): a worker that has nothing to do is here as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import redis
from pydantic import BaseModel, ConfigDict, ValidationError

from app.jobs.scripts import ALLOW_OOM
from app.methods import Kind
from app.plugins import installed

WORD_EVERY_S: Final = 5.0
GONE_AFTER_S: Final = 20.0  # three words missed and a little
# A worker that is gone stays in the list for so long, so that its absence can be noticed.
FORGOTTEN_AFTER_S: Final = 900.0

WORKERS_KEY: Final = "duetto:workers"
_ABOUT_KEY: Final = "duetto:workers:about"

# ARGV: name, what it says, seconds until a worker is forgotten.
_SPEAK: Final = (
    ALLOW_OOM
    + """
local now = redis.call('TIME')
now = now[1] .. '.' .. string.format('%06d', now[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', tonumber(now) - tonumber(ARGV[3]))) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
end
"""
)


class Added(BaseModel):
    """A separator or tagger that a worker has from another package."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Kind
    name: str
    package: str
    version: str


class About(BaseModel):
    """What a worker says of itself. `slots`: jobs that it handles at a time; `queues`: where it takes them from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str
    version: str
    slots: int
    queues: tuple[str, ...] = ()  # none: one of a version that did not say
    added: tuple[Added, ...] = ()


class Worker(About):
    """A worker that has been heard of. `silent_s`: seconds since its last word."""

    name: str
    silent_s: float

    @property
    def is_there(self) -> bool:
        """Whether it has spoken lately."""
        return self.silent_s < GONE_AFTER_S


class Presence:
    """The list of workers.

    Parameters
    ----------
    client : a Redis client with ``decode_responses=True`` (`app.broker.connect`)

    Every method raises `redis.exceptions.RedisError` if Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._speak = client.register_script(_SPEAK)

    def speak(self, name: str, about: About) -> None:
        """Say that the worker is there."""
        arguments: list[str | float] = [name, about.model_dump_json(), FORGOTTEN_AFTER_S]
        self._speak(keys=[WORKERS_KEY, _ABOUT_KEY], args=arguments)

    def leave(self, name: str) -> None:
        """Say that the worker has stopped."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zrem(WORKERS_KEY, name)
        pipeline.hdel(_ABOUT_KEY, name)
        pipeline.execute()

    def workers(self) -> Sequence[Worker]:
        """Return all workers that have been heard of lately, by name, in one round trip."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.time()
        pipeline.zrange(WORKERS_KEY, 0, -1, withscores=True)
        pipeline.hgetall(_ABOUT_KEY)
        (seconds, microseconds), spoken, about = cast(
            "tuple[tuple[int, int], list[tuple[str, float]], dict[str, str]]", tuple(pipeline.execute())
        )
        now = seconds + microseconds / 1e6
        found = []
        for name, at in spoken:
            try:
                said = About.model_validate_json(about.get(name, ""))
            except ValidationError:  # a worker of another version
                said = About(host="?", version="?", slots=0)
            found.append(Worker(name=name, silent_s=max(0.0, now - at), **said.model_dump()))
        return sorted(found, key=lambda worker: worker.name)

    def added(self) -> frozenset[Added]:
        """Return the separators and taggers that workers have from other packages.

        Those of all that have been heard of lately: what is posted while a worker starts anew is done by its successor.
        """
        return frozenset(added for worker in self.workers() for added in worker.added)


def added_here() -> tuple[Added, ...]:
    """Return what other packages add to this process."""
    return tuple(
        Added(kind=kind, name=plugin.name, package=plugin.package, version=plugin.version)
        for kind in Kind
        for plugin in installed(kind).plugins.values()
    )
