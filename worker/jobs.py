"""One job from the queue: read its record, run the pipeline, publish, write the outcome.

Running a job twice leaves one result: artifacts are published at once, the first wins, and a
job whose artifacts are there is only marked as done. An attempt that has lost its job to another
(app/jobs/lease.py) stops, and nothing that it says is taken any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from redis.exceptions import RedisError

from app.broker import connect
from app.errors import DuettoError, IllegalTransition, JobNotFound, StorageUnavailable
from app.jobs.record import Job, JobError
from app.jobs.states import Stage
from app.jobs.store import JobStore
from app.logs.context import log_context, note_stage
from app.settings import Settings
from app.storage import open_storage
from app.storage.protocol import Storage
from worker.deadline import Deadline
from worker.engines import engines_of
from worker.errors import Canceled, JobGone
from worker.failures import public_error
from worker.heartbeat import Heartbeat, worker_token
from worker.media.limits import MediaLimits
from worker.pipeline import run_pipeline
from worker.source import Source
from worker.stage_clock import StageClock

T = TypeVar("T")
logger = logging.getLogger(__name__)

REPORT_EVERY_S = 0.25  # between two writes of progress
LOOK_EVERY_S = 0.25  # between two looks at the cancel flag
OUTCOME_TRIES = 60  # a second apart: a broker that restarts is back by then
_ENDED_BY_USER = frozenset({Canceled.code, JobGone.code})


def run_job(job_id: str, settings: Settings) -> None:
    """Run the job; its outcome goes into its record, never out of here as an exception.

    Raises
    ------
    RedisError
        If the broker stayed away for longer than :data:`OUTCOME_TRIES` seconds.
    """
    with log_context(job_id=job_id), closing(connect(settings)) as client:
        store, storage = JobStore(client), open_storage(settings)
        try:
            job = _persistently(lambda: store.start(job_id, worker_token()))
        except (JobNotFound, IllegalTransition) as error:
            logger.info("job %s is not run: %s", job_id, error)
            return
        with (
            log_context(attempt=job.attempts, request_id=job.request_id),
            Heartbeat(job_id, job.attempts, settings) as heartbeat,
        ):
            logger.info("job %s begins, attempt %d", job_id, job.attempts)
            stages = StageClock()
            _attempt(job, store, storage, settings, heartbeat, stages)
            stages.tally.try_flush(client)


def _attempt(
    job: Job, store: JobStore, storage: Storage, settings: Settings, heartbeat: Heartbeat, stages: StageClock
) -> None:
    deadline = Deadline(settings)
    watch = _Watch(job, store, heartbeat, deadline, stages)
    error: JobError | None = None
    try:
        if not storage.is_published(job.id):
            with storage.scratch(job.id) as scratch, storage.fetched(job.id, job.input.keys) as files:
                run_pipeline(
                    Source.of_job(job, files),
                    scratch,
                    job.options,
                    engines_of(settings),
                    MediaLimits.from_settings(settings),
                    report=watch.report,
                    should_stop=watch.should_stop,
                    probed=deadline.probed,
                    pictures=True,
                )
                _publish(job.id, scratch, storage, heartbeat)
                stages.end()
    # MemoryError and whatever a codec or a network raises must not take the worker along.
    except Exception as raised:  # noqa: BLE001
        error = public_error(raised, watch.stage)
        logger.warning("job %s ended in %s: %s", job.id, error.code, raised)
    _persistently(lambda: _write_outcome(job, error, store, storage))


def _publish(job_id: str, scratch: Path, storage: Storage, heartbeat: Heartbeat) -> None:
    if heartbeat.is_lost:
        raise Canceled
    storage.publish(job_id, scratch)


def _write_outcome(job: Job, error: JobError | None, store: JobStore, storage: Storage) -> None:
    try:
        if error is None:
            store.succeed(job.id, attempt=job.attempts)
            logger.info("job %s succeeded", job.id)
        elif error.code in _ENDED_BY_USER:
            store.cancel(job.id, attempt=job.attempts)
        else:
            store.fail(job.id, error, attempt=job.attempts)
    except JobNotFound:
        # Deleted while it ran: what was written meanwhile goes too.
        _clean_up(storage.delete, job.id)
    except IllegalTransition as illegal:
        # Another attempt has the job, or was first; its outcome stands.
        logger.info("job %s: %s", job.id, illegal)
    else:
        _clean_up(storage.clear_scratch, job.id)


def _clean_up(remove: Callable[[str], None], job_id: str) -> None:
    """Remove files that nobody needs; where that cannot be now, the sweep will (worker/expiry.py)."""
    try:
        remove(job_id)
    except StorageUnavailable as error:
        logger.warning("job %s: what is left of it is left to the sweep: %s", job_id, error)


def _persistently(write: Callable[[], T]) -> T:
    """Do what needs the broker, waiting for it to come back if it is away."""
    for _ in range(OUTCOME_TRIES - 1):
        try:
            return write()
        except RedisError as error:
            logger.warning("the broker does not answer (%s); trying again", type(error).__name__)
            time.sleep(1.0)
    return write()


class _Watch:
    """Progress out, cancel flag in, each a few times a second at most; a broker that is away stops neither."""

    def __init__(self, job: Job, store: JobStore, heartbeat: Heartbeat, deadline: Deadline, stages: StageClock) -> None:
        self.stage: Stage | None = None
        self._stages = stages
        self._job_id = job.id
        self._attempt = job.attempts
        self._store = store
        self._heartbeat = heartbeat
        self._deadline = deadline
        self._next_report = 0.0
        self._next_look = 0.0
        self._stop = False

    def report(self, stage: Stage, fraction: float) -> None:
        now = time.monotonic()
        if stage is self.stage and now < self._next_report:
            return
        if stage is not self.stage:
            self._stages.enter(stage)
            note_stage(stage)
        self.stage = stage
        self._next_report = now + REPORT_EVERY_S
        try:
            self._store.progress(self._job_id, stage, fraction, attempt=self._attempt)
        except RedisError:
            logger.warning("progress of job %s could not be written", self._job_id)
        except DuettoError:
            # Deleted, or another attempt has it: nothing more to do here.
            self._stop = True

    def should_stop(self) -> bool:
        """Whether the job was canceled, deleted or lost; raises TimeLimit where its time is up."""
        self._deadline.check()
        now = time.monotonic()
        if not self._stop and now >= self._next_look:
            self._next_look = now + LOOK_EVERY_S
            try:
                self._stop = self._store.cancel_requested(self._job_id)
            except RedisError:
                logger.warning("the cancel flag of job %s could not be read", self._job_id)
        return self._stop or self._heartbeat.is_lost
