"""How the broker stands: what one INFO of it says, and what of that can lose jobs.

INFO rather than CONFIG GET: managed Redis and ACL users often have no CONFIG.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, cast

import redis

logger = logging.getLogger(__name__)

NO_EVICTION: Final = "noeviction"
# Above this share of `maxmemory` the next busy hour may fill it.
_NEARLY_FULL: Final = 0.9
MIB: Final = 1 << 20


class Concern(NamedTuple):
    """Something to see to: what it is and what to do. `is_severe`: jobs are lost or refused sooner or later."""

    text: str
    is_severe: bool = False


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """What Redis says of itself. Sizes are bytes, times seconds.

    Attributes
    ----------
    name, version : what it is (`Redis` or `Valkey`), and which
    eviction_policy : what it does when memory is full
    memory_used, memory_limit : 0 as limit: none
    append_only, append_only_ok : whether it writes an append-only file, and whether the last write went well
    is_replica : whether it is one, and takes no writes
    round_trip_s : how long the answer took
    clock_ahead_s : how far its clock is before ours
    """

    name: str
    version: str
    eviction_policy: str
    memory_used: int
    memory_limit: int
    append_only: bool
    append_only_ok: bool
    is_replica: bool
    round_trip_s: float
    clock_ahead_s: float

    @classmethod
    def look(cls, client: redis.Redis) -> Self:
        """Ask. Raises `redis.exceptions.RedisError` if there is no answer, or the user may not ask."""
        client.ping()  # the connection is made here, so that the round trip is without it
        started, asked_at = time.monotonic(), time.time()
        pipeline = client.pipeline(transaction=False)
        pipeline.time()
        pipeline.info()
        (seconds, microseconds), info = cast("tuple[tuple[int, int], Mapping[str, Any]]", tuple(pipeline.execute()))
        round_trip_s = time.monotonic() - started
        is_valkey = info.get("server_name") == "valkey"
        return cls(
            name="Valkey" if is_valkey else "Redis",
            version=str(info.get("valkey_version" if is_valkey else "redis_version", "?")),
            eviction_policy=str(info.get("maxmemory_policy", NO_EVICTION)),
            memory_used=int(info.get("used_memory", 0)),
            memory_limit=int(info.get("maxmemory", 0)),
            append_only=bool(info.get("aof_enabled", 0)),
            append_only_ok=info.get("aof_last_write_status", "ok") == "ok",
            is_replica=info.get("role", "master") != "master",
            round_trip_s=round_trip_s,
            clock_ahead_s=seconds + microseconds / 1e6 - (asked_at + round_trip_s / 2),
        )

    def concerns(self) -> list[Concern]:
        """Return what can lose jobs or refuse them, the worst first."""
        found = []
        if self.is_replica:
            found.append(
                Concern("Redis is a replica and takes no writes: give the address of its primary", is_severe=True)
            )
        if self.eviction_policy != NO_EVICTION:
            text = (
                f"Redis evicts ({self.eviction_policy}): when its memory is full, jobs vanish; "
                "set `maxmemory-policy noeviction`"
            )
            found.append(Concern(text, is_severe=True))
        if self.append_only and not self.append_only_ok:
            text = "Redis cannot write its append-only file: see to its disk, then to its log"
            found.append(Concern(text, is_severe=True))
        if not self.append_only:
            found.append(Concern("Redis keeps no append-only file: a restart loses jobs; set `appendonly yes`"))
        if self.memory_limit and self.memory_used > _NEARLY_FULL * self.memory_limit:
            found.append(
                Concern(
                    f"Redis uses {self.memory_used // MIB} of {self.memory_limit // MIB} MiB: "
                    "when it is full, new jobs are refused; raise `maxmemory`"
                )
            )
        return found

    def warnings(self) -> list[str]:
        """Return the texts of all concerns."""
        return [concern.text for concern in self.concerns()]


def warn_of_broker(client: redis.Redis) -> None:
    """Log what can lose jobs; for the start of a process. A broker that does not answer is no reason not to start."""
    try:
        found = BrokerHealth.look(client).warnings()
    except redis.RedisError as error:
        logger.warning("the broker does not answer yet (%s)", type(error).__name__)
        return
    for warning in found:
        logger.warning("%s", warning)
