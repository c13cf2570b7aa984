"""What the life of a job adds to the tally; the job store calls these, once for each arrow that was followed."""

from __future__ import annotations

import redis

from app.jobs.record import Job
from app.metrics import families
from app.metrics.tally import Tally


def count_started(client: redis.Redis, job: Job) -> None:
    """Count an attempt of `job`, which has just begun."""
    tally = Tally()
    tally.count(families.JOB_ATTEMPTS)
    if job.attempts > 1:
        tally.count(families.JOB_RETRIES)
    elif job.started_at is not None:
        # Two machines' clocks: one may be behind the other.
        tally.observe(families.JOB_WAIT, value=max(0.0, job.started_at - job.created_at))
    tally.try_flush(client)


def count_ended(client: redis.Redis, job: Job) -> None:
    """Count the end of `job`: succeeded, failed or canceled."""
    tally = Tally()
    tally.count(families.JOBS_ENDED, job.state)
    if job.error is not None:
        tally.count(families.JOB_FAILURES, job.error.code)
    if job.started_at is not None and job.finished_at is not None:
        tally.observe(families.JOB_DURATION, job.state, value=max(0.0, job.finished_at - job.started_at))
    tally.try_flush(client)
