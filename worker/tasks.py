"""The Celery task: thin, the work is in `worker.jobs`.

The parent process of a prefork worker imports this module, so nothing here imports torch: its threads
do not survive a fork.
"""

from __future__ import annotations

import logging
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Task
from celery.worker.request import Request

from app.broker import connect
from app.errors import IllegalTransition, JobNotFound
from app.jobs.record import JobError
from app.jobs.store import JobStore
from app.queue import TASK_NAME
from app.settings import get_settings
from worker.celery import celery_app
from worker.errors import JobFailure, TimeLimit, WorkerLost

logger = logging.getLogger(__name__)


class JobRequest(Request):  # type: ignore[misc]  # Celery publishes no types
    """What the parent does when a child can no longer speak for its job: it was killed."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The hard limit ended the child, because native code did not see the soft one."""
        super().on_timeout(soft, timeout)
        if not soft:
            _fail(self.id, TimeLimit())

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The child died, as often as it was tried."""
        outcome = super().on_failure(exc_info, send_failed_event, return_ok)
        lost = isinstance(exc_info.exception, WorkerLostError) and not isinstance(exc_info.exception, TimeLimitExceeded)
        retries_left = self._context.retries < (self.task.max_retries or 0)
        if lost and not retries_left:
            _fail(self.id, WorkerLost())
        return outcome


class JobTask(Task):  # type: ignore[misc]  # as above
    """A task whose loss the job record hears of."""

    Request = JobRequest


@celery_app.task(name=TASK_NAME, base=JobTask)  # type: ignore[untyped-decorator]  # as above
def separate(job_id: str) -> None:
    """Run the job of this id."""
    from worker.jobs import run_job  # noqa: PLC0415 - torch belongs into the child

    run_job(job_id, get_settings())


def _fail(job_id: str, failure: JobFailure) -> None:
    client = connect(get_settings())
    try:
        error = JobError(code=failure.code, message=failure.message, retryable=failure.retryable)
        JobStore(client).fail(job_id, error)
    except (JobNotFound, IllegalTransition) as outcome:
        logger.info("job %s: %s", job_id, outcome)
    finally:
        client.close()
