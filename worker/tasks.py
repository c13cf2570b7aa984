"""The Celery task: thin, the work is in `worker.jobs`.

The parent process of a prefork worker imports this module, and must not compute: threads of linear algebra do not
survive a fork.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Task
from celery.worker.request import Request
from redis.exceptions import RedisError

from app.broker import connect
from app.errors import DuettoError
from app.queue import TASK_NAME, JobQueue
from app.settings import get_settings
from app.storage import open_upkeep
from worker.celery import celery_app
from worker.heartbeat import worker_token
from worker.reconciler import Reconciler

logger = logging.getLogger(__name__)


class JobRequest(Request):  # type: ignore[misc]  # Celery publishes no types
    """What the parent does when a child can no longer speak for its job: it was killed."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The hard limit ended the child, because native code did not see the soft one."""
        super().on_timeout(soft, timeout)
        if not soft:
            _on_behalf(self, Reconciler.time_out)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The child died: the job goes to another at once, without waiting until its heartbeat is missed."""
        outcome = super().on_failure(exc_info, send_failed_event, return_ok)
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, WorkerLostError) and not isinstance(error, TimeLimitExceeded):
            _on_behalf(self, Reconciler.worker_lost)
        return outcome

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """This worker is stopping: it ends the child and hands the message back to the queue."""
        super().cancel(pool, signal, emit_retry)
        _on_behalf(self, Reconciler.let_go)


class JobTask(Task):  # type: ignore[misc]  # as above
    """A task whose loss the job record hears of."""

    Request = JobRequest


@celery_app.task(name=TASK_NAME, base=JobTask)  # type: ignore[untyped-decorator]  # as above
def separate(job_id: str) -> None:
    """Run the job of this id."""
    from worker.jobs import run_job  # noqa: PLC0415 - see worker.celery, which imports it when a worker starts

    run_job(job_id, get_settings())


def _on_behalf(request: JobRequest, act: Callable[[Reconciler, str, str], object]) -> None:
    """Do something about the job that a child of this process had. Should the broker be away, the reconciler will."""
    settings = get_settings()
    client = connect(settings)
    queue = JobQueue(settings)
    try:
        reconciler = Reconciler(client, queue, open_upkeep(settings))
        act(reconciler, request.id, worker_token(request.worker_pid))
    except (RedisError, DuettoError) as error:
        logger.warning("job %s: left to the reconciler (%s)", request.id, type(error).__name__)
    finally:
        queue.close()
        client.close()
