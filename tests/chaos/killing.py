"""Rounds of SIGKILL: one process of the service, sometimes two at once, at a random moment."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, cast

import redis

from tests.chaos.processes import children
from tests.chaos.service import WORKERS, Service
from tests.chaos.traffic import Accepted
from worker.heartbeat import worker_token

TWO_AT_ONCE: Final = 0.2  # of the rounds
# From the moment that all is up again to the next kill: from the midst of the first jobs to a steady flow.
_MOMENT_S: Final = (0.05, 3.0)


class Kind(StrEnum):
    """What is killed."""

    API = "api"
    WORKER_PARENT = "worker parent"
    WORKER_CHILD = "worker child"
    BROKER = "broker"


@dataclass
class Round:
    """One round. Times are of `time.monotonic`.

    Attributes
    ----------
    kinds : what was killed
    at : when
    back_s : seconds until all processes were there again
    interrupted : ids of the jobs that a killed process had, with the attempt it was
    """

    kinds: tuple[Kind, ...]
    at: float
    back_s: float = 0.0
    interrupted: dict[str, int] = field(default_factory=dict)


async def kill_again_and_again(service: Service, rounds: int, seed: int, tell: Callable[[str], None]) -> list[Round]:
    """Kill in so many rounds, each beginning when all that was killed is back. The kinds follow from the seed.

    Raises
    ------
    NotBack
        If something does not come back.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    done = []
    for number in range(1, rounds + 1):
        count = 2 if chance.random() < TWO_AT_ONCE else 1
        kinds = tuple(chance.sample(list(Kind), count))
        worker = chance.randrange(WORKERS)
        await asyncio.sleep(chance.uniform(*_MOMENT_S))
        one = await asyncio.to_thread(_kill, service, kinds, worker)
        done.append(one)
        tell(
            f"round {number:>4}  {' and '.join(kinds):<28} back after {one.back_s:5.1f} s, "
            f"{len(one.interrupted)} jobs interrupted"
        )
    return done


def _kill(service: Service, kinds: Sequence[Kind], worker: int) -> Round:
    # Of two kinds, the second is the other worker's: so both go down at once now and then.
    pids = [_victim(service, kind, (worker + turn) % WORKERS) for turn, kind in enumerate(kinds)]
    # Its children die with a parent: a container ends with its first process, a guardian ends the group.
    dying = {pid for pid in pids for pid in (pid, *children(pid))}
    jobs = _jobs_of(service, dying)
    one = Round(tuple(kinds), time.monotonic(), interrupted=jobs)
    for pid in pids:
        # One may have died of another's death.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    service.await_up(pids)
    one.back_s = time.monotonic() - one.at
    return one


def _victim(service: Service, kind: Kind, worker: int) -> int:
    if kind is Kind.API:
        return service.api_pid
    if kind is Kind.BROKER:
        return service.broker_pid
    if kind is Kind.WORKER_PARENT:
        return service.worker_pid(worker)
    return service.worker_children(worker)[0]


def _jobs_of(service: Service, pids: set[int]) -> dict[str, int]:
    """The jobs that these processes run at this moment, by the leases in their records, and their attempts."""
    tokens = {worker_token(pid) for pid in pids}
    found: dict[str, int] = {}
    with suppress(redis.exceptions.RedisError):
        for job_id in cast("list[str]", service.redis.zrange("duetto:jobs:running", 0, -1)):
            holder, attempt = cast("list[str]", service.redis.hmget(f"duetto:job:{job_id}", ["worker", "attempts"]))
            if holder in tokens:
                found[job_id] = int(attempt)
    return found


def recovery_times(rounds: Sequence[Round], jobs: Sequence[Accepted]) -> list[float]:
    """Return, for each job whose process was killed, the seconds until another attempt began or the job ended."""
    known = {job.id: job for job in jobs}
    found = []
    for one in rounds:
        for job_id, attempt in one.interrupted.items():
            for event in known[job_id].events if job_id in known else []:
                if event.at >= one.at and (event.is_final or event.job["attempts"] > attempt):
                    found.append(event.at - one.at)
                    break
    return found
