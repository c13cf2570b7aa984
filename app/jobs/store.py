"""The job store: job records in Redis, and the single writer of a job's state.

==============================  ======  =====================================================
key                             type    holds
==============================  ======  =====================================================
``duetto:job:{id}``             hash    the record's fields; options, input and error as JSON
``duetto:jobs``                 zset    every job, scored by its time of creation
``duetto:jobs:{state}``         zset    the jobs in that state, scored the same
``duetto:jobs:queued:{queue}``  zset    those that wait in that queue, scored the same
``duetto:jobs:of:{owner}``      zset    the jobs of one API key, scored the same
``duetto:jobs:webhooks``        zset    the outbox (app/webhooks/outbox.py)
==============================  ======  =====================================================

Every write is one Lua script (app/jobs/scripts.py): it looks at the state, follows an arrow of
`app.jobs.states.ARROWS` or refuses, and adds one to `version`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import redis

from app.broker import check_room
from app.errors import IllegalTransition, InvalidCursor, JobNotFound
from app.jobs import scripts
from app.jobs.lease import MAX_ATTEMPTS
from app.jobs.place import ANSWERS as PLACE_ANSWERS
from app.jobs.place import ask_for_place, places
from app.jobs.record import Job, JobError
from app.jobs.states import ARROWS, JobState, Stage
from app.metrics.job_counts import count_ended, count_started

_INDEX: Final = "duetto:jobs"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_CURSOR: Final = re.compile(r"([0-9]+\.[0-9]+(?:e[+-]?[0-9]+)?) ([0-9a-f]{32})")
_JSON_FIELDS: Final = frozenset({"options", "input", "error", "delivery"})
_STAGES: Final = f",{','.join(Stage)},"


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, newest first, and the cursor of the next page (None: this was the last)."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


def sources_of(target: JobState) -> frozenset[JobState]:
    """Return the states that have an arrow to `target`."""
    return frozenset(state for state, targets in ARROWS.items() if target in targets)


class JobStore:
    """Job records.

    Parameters
    ----------
    client : a Redis client with ``decode_responses=True`` (`app.broker.connect`)
    clock : seconds since the epoch

    Every method raises `redis.exceptions.RedisError` if Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._clock = clock
        self._create = client.register_script(scripts.CREATE)
        self._transition = client.register_script(scripts.TRANSITION)
        self._start = client.register_script(scripts.START)
        self._request_cancel = client.register_script(scripts.REQUEST_CANCEL)
        self._progress = client.register_script(scripts.PROGRESS)
        self._delete = client.register_script(scripts.DELETE)

    def create(self, job: Job) -> None:
        """Store a new, queued job.

        Raises
        ------
        ValueError
            If the id is not 32 hexadecimal digits, or the job is not queued.
        IllegalTransition
            If a job of this id exists.
        """
        if not _ID.fullmatch(job.id):
            raise ValueError(f"a job's id is 32 hexadecimal digits (uuid4().hex), not {job.id!r}")
        if job.state is not JobState.QUEUED:
            raise ValueError(f"a new job is queued, not {job.state}")
        flat = [item for pair in _to_hash(job).items() for item in pair]
        word, _ = self._run(self._create, job.id, [repr(job.created_at), *flat])
        if word == "illegal":
            raise IllegalTransition("a job of this id exists already")

    def get(self, job_id: str) -> Job:
        """Return the job.

        Raises
        ------
        JobNotFound
            If there is none of this id.
        """
        record = cast("dict[str, str]", self._redis.hgetall(_key(job_id)))
        if not record:
            raise job_not_found()
        return _from_hash(record)

    def look(self, job_ids: Sequence[str]) -> Sequence[tuple[Job, int | None] | None]:
        """Return each job with its place in its queue, in one round trip; None for one that is not there."""
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hgetall(_key(job_id))
            ask_for_place(pipeline, job_id)
        answers = pipeline.execute()
        records = cast("list[dict[str, str]]", answers[:: 1 + PLACE_ANSWERS])
        del answers[:: 1 + PLACE_ANSWERS]
        pairs = zip(records, places(answers), strict=True)
        return [(_from_hash(record), place) if record else None for record, place in pairs]

    def list(
        self, limit: int = 20, cursor: str | None = None, state: JobState | None = None, owner: str | None = None
    ) -> JobPage:
        """Return up to `limit` jobs, newest first, from `cursor` (a page's `next_cursor`) on.

        With `state`, only those in it; with `owner`, only that API key's.

        Raises
        ------
        InvalidCursor
            If the cursor is not one of this store's.
        ValueError
            If `limit` is below one.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        if owner is None:
            return self._page(_INDEX if state is None else f"{_INDEX}:{state}", limit, cursor)
        # There is no index by owner and state: the owner's pages are read until enough of them match.
        found: list[Job] = []
        while True:
            page = self._page(f"{_INDEX}:of:{owner}", limit, cursor)
            for job in page.jobs:
                if state is None or job.state is state:
                    found.append(job)
                if len(found) == limit:
                    is_last = job is page.jobs[-1] and page.next_cursor is None
                    return JobPage(tuple(found), None if is_last else _make_cursor(job.id, job.created_at))
            if page.next_cursor is None:
                return JobPage(tuple(found), None)
            cursor = page.next_cursor

    def _page(self, index: str, limit: int, cursor: str | None) -> JobPage:
        found: list[tuple[str, float]] = []
        newest = "+inf"
        if cursor is not None:
            score, last_id = _parse_cursor(cursor)
            # Jobs created in the same microsecond as the last one shown: by id, as Redis orders them.
            ties = cast("list[str]", self._redis.zrevrangebyscore(index, repr(score), repr(score)))
            found = [(job_id, score) for job_id in ties if job_id < last_id]
            newest = f"({score!r}"
        # One more than asked for tells whether there is a next page.
        found += cast(
            "list[tuple[str, float]]",
            self._redis.zrevrangebyscore(index, newest, "-inf", start=0, num=limit + 1, withscores=True),
        )
        page = found[:limit]
        pipeline = self._redis.pipeline(transaction=False)
        for job_id, _ in page:
            pipeline.hgetall(_key(job_id))
        records = cast("list[dict[str, str]]", pipeline.execute())
        # A job deleted since the index was read has an empty record.
        jobs = tuple(_from_hash(record) for record in records if record)
        return JobPage(jobs, _make_cursor(*page[-1]) if len(found) > limit else None)

    def start(self, job_id: str, worker: str = "") -> Job:
        """Begin an attempt: queued to running, or running again after the last attempt was declared lost.

        `started_at` and `progress` are of the attempt; `attempts` counts them, and is the number by which
        an attempt speaks for the job from here on. `worker` says who runs it (`app.jobs.lease`).

        Raises
        ------
        JobNotFound
            If the job was deleted.
        IllegalTransition
            If the job is final (canceled while it waited, or done by another worker), if an attempt has it
            that is not known to be lost, or if it has had `MAX_ATTEMPTS`.
        """
        word, record = self._run(self._start, job_id, [repr(self._clock()), worker, str(MAX_ATTEMPTS)])
        _check(word, record, "start")
        job = _from_hash(record)
        count_started(self._redis, job)
        return job

    def progress(self, job_id: str, stage: Stage, fraction: float, *, attempt: int | None = None) -> None:
        """Report how far the running attempt is; what would move backwards is ignored.

        Parameters
        ----------
        job_id : the job
        stage : what it is doing
        fraction : how much of the whole job is done, 0 to 1
        attempt : which attempt says so; None: whichever runs

        Raises
        ------
        JobNotFound
            If the job was deleted.
        IllegalTransition
            If the job is not running, or not by this attempt.
        ValueError
            If `fraction` is not within 0 to 1.
        """
        if not (math.isfinite(fraction) and 0.0 <= fraction <= 1.0):
            raise ValueError(f"progress is a fraction from 0 to 1, not {fraction}")
        arguments = [repr(float(fraction)), Stage(stage).value, _STAGES, _fence(attempt)]
        word, record = self._run(self._progress, job_id, arguments)
        _check(word, record, "report progress of")

    # The ways to end take the attempt that speaks: one that has lost its job to another is refused.
    # Without a number, the caller speaks for the job itself.

    def succeed(self, job_id: str, *, attempt: int | None = None) -> Job:
        """Running to succeeded. Raises `JobNotFound` or `IllegalTransition`."""
        return self._finish(job_id, JobState.SUCCEEDED, {"progress": "1.0"}, attempt)

    def fail(self, job_id: str, error: JobError, *, attempt: int | None = None) -> Job:
        """Queued or running to failed, for the reason given. Raises `JobNotFound` or `IllegalTransition`."""
        return self._finish(job_id, JobState.FAILED, {"error": error.model_dump_json()}, attempt)

    def cancel(self, job_id: str, *, attempt: int | None = None) -> Job:
        """Queued or running to canceled: what a worker calls when it has stopped.

        Raises `JobNotFound` or `IllegalTransition`.
        """
        return self._finish(job_id, JobState.CANCELED, {}, attempt)

    def expire(self, job_id: str) -> Job:
        """Final to expired: its artifacts are no longer to be had. Raises `JobNotFound` or `IllegalTransition`."""
        return self._move(job_id, JobState.EXPIRED, {"expired_at": repr(self._clock())}, None)

    def request_cancel(self, job_id: str) -> Job:
        """Ask for an end: a queued job is canceled at once, a running one by its worker, soon.

        Asking again changes nothing.

        Raises
        ------
        JobNotFound
            If the job was deleted.
        IllegalTransition
            If the job has succeeded, failed or expired.
        """
        now = self._clock()
        word, record = self._run(self._request_cancel, job_id, [repr(now)])
        _check(word, record, "cancel")
        job = _from_hash(record)
        if job.finished_at == now:  # it had waited, and this call ended it
            count_ended(self._redis, job)
        return job

    def cancel_requested(self, job_id: str) -> bool:
        """Return whether a worker should stop: the end was asked for, or the job is gone."""
        state, flag = cast("list[str | None]", self._redis.hmget(_key(job_id), ["state", "cancel_requested"]))
        return state is None or flag == "1"

    def delete(self, job_id: str) -> None:
        """Remove the record, in any state; its worker notices by itself.

        Raises
        ------
        JobNotFound
            If there is none of this id.
        """
        word, record = self._run(self._delete, job_id, [])
        _check(word, record, "delete")

    def queue_position(self, job_id: str) -> int | None:
        """Return the job's place in its queue (0: next), or None if it does not wait."""
        return self.queue_positions([job_id])[0]

    def queue_positions(self, job_ids: Sequence[str]) -> Sequence[int | None]:
        """Return the place of each job in its queue, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            ask_for_place(pipeline, job_id)
        return places(pipeline.execute())

    def queued_count(self) -> int:
        """Return how many jobs wait, in all queues."""
        return self._redis.zcard(f"{_INDEX}:{JobState.QUEUED}")

    def created_before(self, moment: float, state: JobState) -> Sequence[str]:
        """Return the ids of jobs in `state` created before `moment` (seconds since the epoch), oldest first."""
        return cast("list[str]", self._redis.zrangebyscore(f"{_INDEX}:{state}", "-inf", f"({moment!r}"))

    def states(self, job_ids: Sequence[str]) -> Sequence[JobState | None]:
        """Return the state of each job, in one round trip; None for one that is not there."""
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hget(_key(job_id), "state")
        return [None if state is None else JobState(state) for state in cast("list[str | None]", pipeline.execute())]

    def check_room(self) -> None:
        """Return if Redis has memory for another job; raise `BrokerFull`, or its own error if it is full."""
        check_room(self._redis)

    def _finish(self, job_id: str, target: JobState, fields: Mapping[str, str], attempt: int | None) -> Job:
        job = self._move(job_id, target, {"finished_at": repr(self._clock()), **fields}, attempt)
        count_ended(self._redis, job)
        return job

    def _move(self, job_id: str, target: JobState, fields: Mapping[str, str], attempt: int | None) -> Job:
        flat = [item for pair in fields.items() for item in pair]
        allowed = f",{','.join(sources_of(target))},"
        word, record = self._run(self._transition, job_id, [target.value, allowed, _fence(attempt), *flat])
        _check(word, record, _VERBS[target])
        return _from_hash(record)

    def _run(self, script: Callable[..., Any], job_id: str, arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
        word, flat = script(keys=[_key(job_id), _INDEX], args=[job_id, *arguments])
        return word, dict(zip(flat[::2], flat[1::2], strict=True))


_VERBS: Final = {
    JobState.SUCCEEDED: "complete",
    JobState.FAILED: "fail",
    JobState.CANCELED: "cancel",
    JobState.EXPIRED: "expire",
}


def _fence(attempt: int | None) -> str:
    return "" if attempt is None else str(attempt)


def _key(job_id: str) -> str:
    return f"duetto:job:{job_id}"


def job_not_found() -> JobNotFound:
    """Return the error for an id that no job has, or none that the caller may know of."""
    return JobNotFound(
        "no job has this id: it was never made, or it has been deleted; GET /v1/jobs lists those there are"
    )


def _check(word: str, record: Mapping[str, str], verb: str) -> None:
    if word == "missing":
        raise job_not_found()
    if word == "held":
        raise IllegalTransition(f"cannot {verb} the job: an attempt has it that is not known to be lost")
    if word == "lost":
        raise IllegalTransition(f"cannot {verb} the job: this attempt has lost it to another")
    if word == "illegal":
        raise IllegalTransition(f"cannot {verb} a job that is {record['state']}; GET it to see how it stands")


def _to_hash(job: Job) -> dict[str, str]:
    values = job.model_dump(mode="json")
    record = {}
    for name, value in values.items():
        if value is None:
            continue
        if name in _JSON_FIELDS:
            record[name] = json.dumps(value)
        elif isinstance(value, bool):
            record[name] = "1" if value else "0"
        else:
            record[name] = value if isinstance(value, str) else repr(value)
    return record


def _from_hash(record: Mapping[str, str]) -> Job:
    values = {name: json.loads(value) if name in _JSON_FIELDS else value for name, value in record.items()}
    return Job.model_validate(values)


def _make_cursor(job_id: str, score: float) -> str:
    return base64.urlsafe_b64encode(f"{score!r} {job_id}".encode()).decode().rstrip("=")


def _parse_cursor(cursor: str) -> tuple[float, str]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (ValueError, binascii.Error):
        raw = ""
    match = _CURSOR.fullmatch(raw)
    if match is None:
        raise InvalidCursor(
            "`cursor` must be the `next_cursor` of an earlier page; leave it out to begin with the newest job"
        )
    return float(match[1]), match[2]
