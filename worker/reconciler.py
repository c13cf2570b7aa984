"""The reconciler: no job stays behind whose worker or whose message has vanished.

=======================================  ==========================================================
a job that                               is
=======================================  ==========================================================
runs, silent for `LOST_AFTER_S`          taken from its attempt, then as below
runs, and no attempt has it              succeeded if its artifacts are published; canceled if that
                                         was asked for; failed (``worker_lost``) after
                                         `MAX_ATTEMPTS`; else sent to the front of its queue
waits, and its message is gone           sent to the front of its queue
has ended, or was deleted                rid of messages that a killed worker had not acknowledged
=======================================  ==========================================================

Sending a job whose message is still there does no harm: `JobStore.start` takes only what nobody has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final

import redis

from app.errors import IllegalTransition, JobNotFound
from app.jobs.lease import LOST_AFTER_S, MAX_ATTEMPTS, Lease, Leases
from app.jobs.record import JobError
from app.jobs.store import JobStore
from app.queue import QUEUES, JobQueue, QueueName, delivered_messages, drop_delivered, move_newest_to_front, next_job_id
from app.storage.protocol import StorageUpkeep
from worker.errors import TimeLimit, WorkerLost

logger = logging.getLogger(__name__)

# So long a message may be on its way from the queue into an attempt: a worker process that has just been started
# imports its libraries first.
UNSTARTED_AFTER_S: Final = 15.0
# In one look; the rest is for the next one, so that a look stays short.
_MOST_RESENT: Final = 200
_WORKER_LOST: Final = JobError(code=WorkerLost.code, message=WorkerLost.default_message, retryable=WorkerLost.retryable)
_TIME_LIMIT: Final = JobError(code=TimeLimit.code, message=TimeLimit.default_message, retryable=TimeLimit.retryable)


class Reconciler:
    """Finds jobs that were left behind, and hands them on.

    Parameters
    ----------
    client : a Redis client with ``decode_responses=True`` (`app.broker.connect`)
    queue : what sends jobs
    storage : where published artifacts are looked for
    lost_after_s, unstarted_after_s : patience in seconds with a silent attempt and with a message on its way

    What needs Redis raises `redis.exceptions.RedisError`, or `BrokerUnavailable` while sending, if it
    cannot be reached; all of it may be done again.
    """

    def __init__(
        self,
        client: redis.Redis,
        queue: JobQueue,
        storage: StorageUpkeep,
        *,
        lost_after_s: float = LOST_AFTER_S,
        unstarted_after_s: float = UNSTARTED_AFTER_S,
    ) -> None:
        self._redis = client
        self._store = JobStore(client)
        self._leases = Leases(client)
        self._queue = queue
        self._storage = storage
        self._lost_after_s = lost_after_s
        self._unstarted_after_s = unstarted_after_s
        self._silent: dict[str, str] = {}

    def look(self) -> None:
        """Look at every running job, and at every waiting one whose message may be gone. For every few seconds."""
        running = self._leases.running()
        abandoned = [lease for lease in running if lease.heartbeat is None or self._take(lease)]
        self._silent = {
            lease.job_id: lease.heartbeat
            for lease in running
            if lease.heartbeat is not None and lease.silent_s >= self._lost_after_s
        }
        pending = [lease for lease in abandoned if not self._end(lease)]
        for _, lease in zip(range(_MOST_RESENT), self._without_message(pending), strict=False):
            self._resend(lease)
        self._drop_messages_of_the_ended()

    def worker_lost(self, job_id: str, worker: str) -> None:
        """Hand the job on at once, because the process called `worker`, which ran it, is known to be dead."""
        if self._release(job_id, worker):
            lease = self._leases.of(job_id)
            if lease is not None and not self._end(lease):
                self._resend(lease)

    def time_out(self, job_id: str, worker: str) -> None:
        """Fail the job, because the process called `worker`, which ran it, is killed for taking too long."""
        attempt = self._leases.attempt_of(job_id, worker)
        if attempt is not None:
            self._store.fail(job_id, _TIME_LIMIT, attempt=attempt)

    def let_go(self, job_id: str, worker: str) -> bool:
        """Take the job from the process called `worker`, whose message Celery is about to hand back to the queue.

        Whether it had it.
        """
        has_let_go = self._release(job_id, worker)
        if has_let_go:
            self._leases.note_resent(job_id)
        return has_let_go

    def _release(self, job_id: str, worker: str) -> bool:
        attempt = self._leases.attempt_of(job_id, worker)
        return attempt is not None and self._leases.release(job_id, attempt)

    def _take(self, lease: Lease) -> bool:
        """Whether the job was taken from an attempt that is dead."""
        # Silent at two looks in a row, with the same last beat: after an outage of the broker, or when the machine
        # was asleep, every attempt has been silent, and the living beat before the second look.
        is_dead = lease.silent_s >= self._lost_after_s and self._silent.get(lease.job_id) == lease.heartbeat
        return is_dead and self._leases.release(lease.job_id, lease.attempt, lease.heartbeat)

    def _end(self, lease: Lease) -> bool:
        """Whether a job that nobody has needs no further attempt; it has then ended."""
        try:
            if self._storage.is_published(lease.job_id):
                self._store.succeed(lease.job_id, attempt=lease.attempt)
            elif lease.cancel_requested:
                self._store.cancel(lease.job_id, attempt=lease.attempt)
            elif lease.attempt >= MAX_ATTEMPTS:
                self._store.fail(lease.job_id, _WORKER_LOST, attempt=lease.attempt)
            else:
                return False
        except (JobNotFound, IllegalTransition) as outcome:
            logger.info("job %s: %s", lease.job_id, outcome)
        else:
            logger.warning("job %s: its worker was lost; ended after %d attempts", lease.job_id, lease.attempt)
            self._storage.clear_scratch(lease.job_id)
        return True

    def _without_message(self, abandoned: Sequence[Lease]) -> Iterator[Lease]:
        """The jobs that nobody has and whose message is not in their queue."""
        for queue in QUEUES:
            yield from self._without_message_in(queue, [lease for lease in abandoned if lease.queue == queue])

    def _without_message_in(self, queue: QueueName, abandoned: Sequence[Lease]) -> Iterator[Lease]:
        """Those of one queue.

        To look through the queue would cost its length each time; its front tells enough. First messages lie in
        the order of creation, and messages sent again go before them. So when a first message is at the front,
        no job sent again has a message, and none that is older than the front's job. A front that was sent again,
        or whose job is deleted, tells nothing, but is taken by the next worker that is free.
        """
        front_id = next_job_id(self._redis, queue)
        front = None if front_id is None else self._leases.of(front_id)
        is_known = front_id is None or (front is not None and front.resent_s is None)
        for lease in abandoned:
            if lease.resent_s is None or (is_known and lease.resent_s > self._unstarted_after_s):
                yield lease
        if is_known:
            created_before = None if front is None else front.created_at
            for lease in self._leases.queued(queue, self._unstarted_after_s, created_before):
                if lease.resent_s is None or lease.resent_s > self._unstarted_after_s:
                    yield lease

    def _drop_messages_of_the_ended(self) -> None:
        """Leave nothing in Redis that Celery would hand out after the visibility timeout, for nobody to do."""
        messages = delivered_messages(self._redis)
        states = self._store.states(list(messages.values()))
        ended = [tag for tag, state in zip(messages, states, strict=True) if state is None or state.is_final]
        drop_delivered(self._redis, ended)

    def _resend(self, lease: Lease) -> None:
        if not self._leases.note_resent(lease.job_id):
            return
        logger.warning(
            "job %s: its worker or its message was lost; it is sent again", lease.job_id, extra={"job_id": lease.job_id}
        )
        self._queue.enqueue(lease.job_id, lease.queue)
        move_newest_to_front(self._redis, lease.queue)
