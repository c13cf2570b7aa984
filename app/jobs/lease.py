"""The lease: which attempt has a job, how it shows that it lives, and how the job is taken from it.

An attempt beats every :data:`BEAT_EVERY_S` seconds. When it has not for :data:`LOST_AFTER_S` the lease is
*released*, in one step that fails if it has beaten meanwhile; only then can another attempt start. The
one that lost it is fenced off by its number: no beat, no progress and no outcome of it is taken any more.

The lease lives in the job's own hash (app/jobs/scripts.py), so it leaves with the job. Its times are those
of Redis's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import redis

from app.jobs import scripts
from app.jobs.states import JobState
from app.queue import QUEUE_NAME, QueueName

BEAT_EVERY_S: Final = 1.0
LOST_AFTER_S: Final = 8.0  # eight beats: a machine that swaps or a broker that restarts costs a few
MAX_ATTEMPTS: Final = 3  # a file that kills three workers would kill a fourth

_INDEX: Final = "duetto:jobs"
_FIELDS: Final = ("attempts", "heartbeat_at", "resent_at", "cancel_requested", "created_at", "queue")


@dataclass(frozen=True, slots=True)
class Lease:
    """How a job that has not ended stands. Times are seconds.

    Attributes
    ----------
    job_id, attempt : the job, and how many attempts it has had
    heartbeat : the last beat as Redis holds it; None: nobody has the job
    silent_s : how long ago that was; 0 without one
    resent_s : how long ago it was sent to the queue again; None: its first message is the only one
    created_at : since the epoch
    cancel_requested : whether it is to end
    queue : where it is sent
    """

    job_id: str
    attempt: int
    heartbeat: str | None
    silent_s: float
    resent_s: float | None
    created_at: float
    cancel_requested: bool
    queue: QueueName


class Leases:
    """The leases of all jobs.

    Parameters
    ----------
    client : a Redis client with ``decode_responses=True`` (`app.broker.connect`)

    Every method raises `redis.exceptions.RedisError` if Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._beat = client.register_script(scripts.BEAT)
        self._release = client.register_script(scripts.RELEASE)
        self._note_resent = client.register_script(scripts.NOTE_RESENT)

    def beat(self, job_id: str, attempt: int) -> bool:
        """Show that the attempt lives. Return False if the job is no longer its: then it must stop."""
        return self._run(self._beat, job_id, str(attempt))

    def release(self, job_id: str, attempt: int, heartbeat: str | None = None) -> bool:
        """Declare the attempt lost. False if it has ended, is not the present one, or has beaten since `heartbeat`."""
        return self._run(self._release, job_id, str(attempt), heartbeat or "")

    def attempt_of(self, job_id: str, worker: str) -> int | None:
        """Return the number of the attempt that `worker` runs; None if it is not the one that has the job."""
        attempts, holder = cast("list[str | None]", self._redis.hmget(_key(job_id), ["attempts", "worker"]))
        return int(attempts) if attempts is not None and holder == worker else None

    def note_resent(self, job_id: str) -> bool:
        """Note that the job is about to be sent again. False if it has ended or somebody has it."""
        return self._run(self._note_resent, job_id)

    def running(self) -> Sequence[Lease]:
        """Return how every running job stands."""
        return self._read(cast("list[str]", self._redis.zrange(f"{_INDEX}:{JobState.RUNNING}", 0, -1)))

    def queued(self, queue: QueueName, older_than_s: float, created_before: float) -> Sequence[Lease]:
        """Return how every job stands that has waited in `queue` for longer than `older_than_s`, and was created
        before `created_before` (seconds since the epoch); oldest first."""
        latest = min(self._now() - older_than_s, created_before)
        index = f"{_INDEX}:{JobState.QUEUED}:{queue}"
        return self._read(cast("list[str]", self._redis.zrangebyscore(index, "-inf", f"({latest!r}")))

    def of(self, job_ids: Sequence[str]) -> Sequence[Lease]:
        """Return how these jobs stand, ended or not; those of them that there are, in their order."""
        return self._read(job_ids)

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def _read(self, job_ids: Sequence[str]) -> Sequence[Lease]:
        if not job_ids:
            return ()
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hmget(_key(job_id), _FIELDS)
        records = cast("list[list[str | None]]", pipeline.execute())
        # Read last, so that no beat lies in the future.
        now = self._now()
        return [_lease(job_id, record, now) for job_id, record in zip(job_ids, records, strict=True) if record[0]]

    def _run(self, script: Callable[..., Any], job_id: str, *arguments: str) -> bool:
        word, _ = script(keys=[_key(job_id), _INDEX], args=[job_id, *arguments])
        return bool(word == "ok")


def _lease(job_id: str, record: Sequence[str | None], now: float) -> Lease:
    attempts, heartbeat, resent_at, cancel_requested, created_at, queue = record
    return Lease(
        job_id,
        attempt=int(attempts or 0),
        heartbeat=heartbeat,
        silent_s=0.0 if heartbeat is None else now - float(heartbeat),
        resent_s=None if resent_at is None else now - float(resent_at),
        created_at=float(created_at or 0.0),
        cancel_requested=cancel_requested == "1",
        queue=cast("QueueName", queue or QUEUE_NAME),
    )


def _key(job_id: str) -> str:
    return f"duetto:job:{job_id}"
