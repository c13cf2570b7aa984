"""The reconciler: no job stays behind whose worker or whose message has vanished.

=======================================  ==========================================================
a job that                               is
=======================================  ==========================================================
runs, silent for `LOST_AFTER_S`          taken from its attempt at the third look in a row, then as
                                         below
runs, and no attempt has it              succeeded if its artifacts are published; canceled if that
                                         was asked for; failed (``worker_lost``) after
                                         `MAX_ATTEMPTS`; else sent to the front of its queue
waits, and its message is gone           sent to the front of its queue
has ended, or was deleted                rid of messages that a killed worker had not acknowledged
=======================================  ==========================================================

Sending a job whose message is still there does no harm: `JobStore.start` takes only what nobody has. Jobs that are
sent again keep the order of their creation at the front: one whose worker was killed, and that has waited its turn
already, must not wait behind those whose messages a broker lost with it.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import redis

from app.errors import IllegalTransition, JobNotFound
from app.jobs.lease import LOST_AFTER_S, MAX_ATTEMPTS, Lease, Leases
from app.jobs.record import JobError
from app.jobs.store import JobStore
from app.queue import (
    MOST_IN_FRONT,
    QUEUES,
    JobQueue,
    QueueName,
    delivered_messages,
    drop_delivered,
    move_newest_to_front,
    next_job_ids,
)
from app.storage.protocol import StorageUpkeep
from worker.errors import TimeLimit, WorkerLost

logger = logging.getLogger(__name__)

# So long a message may be on its way from the queue into an attempt: a worker process that has just been started
# imports its libraries first, 2 s of work. Where that takes longer, a second message costs its worker 20 ms.
UNSTARTED_AFTER_S: Final = 6.0
# A silent attempt is dead when so many looks in a row have seen the same last beat. After an outage of the broker, or
# when the machine was asleep, every attempt has been silent, and the living beat between the first look and the last.
_LOOKS_TO_BE_SURE: Final = 3
# In one look, of one queue; the rest is for the next one, so that a look stays short.
_MOST_RESENT: Final = 200
_WORKER_LOST: Final = JobError(code=WorkerLost.code, message=WorkerLost.default_message, retryable=WorkerLost.retryable)
_TIME_LIMIT: Final = JobError(code=TimeLimit.code, message=TimeLimit.default_message, retryable=TimeLimit.retryable)


@dataclass(slots=True)
class _Front:
    """The front of a queue.

    Attributes
    ----------
    sent_again : the jobs sent again that have a message in it: when each was created and its id, oldest first
    first_created_at : when the job of the first message that is a job's first was created (seconds since the
        epoch; infinity: there is none)
    """

    sent_again: list[tuple[float, str]] = field(default_factory=list)
    first_created_at: float = math.inf

    def holds(self, lease: Lease) -> bool:
        """Whether the job was sent again and its message lies here."""
        index = bisect_left(self.sent_again, key := (lease.created_at, lease.job_id))
        return self.sent_again[index : index + 1] == [key]

    def add(self, lease: Lease) -> None:
        insort(self.sent_again, (lease.created_at, lease.job_id))

    def before(self, lease: Lease) -> str | None:
        """The youngest of the jobs sent again that are older than this one; None: there is none."""
        index = bisect_left(self.sent_again, (lease.created_at, lease.job_id))
        return self.sent_again[index - 1][1] if index else None


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
        # By job and last beat: how many looks in a row have found it silent.
        self._silent: dict[tuple[str, str], int] = {}

    def look(self) -> None:
        """Look at every running job, and at every waiting one whose message may be gone. For every few seconds."""
        # A look that fails breaks the row.
        before, self._silent = self._silent, {}
        running = self._leases.running()
        silent = [lease for lease in running if lease.heartbeat and lease.silent_s >= self._lost_after_s]
        self._silent = {_beat(lease): before.get(_beat(lease), 0) + 1 for lease in silent}
        abandoned = [lease for lease in running if lease.heartbeat is None or self._take(lease)]
        pending = [lease for lease in abandoned if not self._end(lease)]
        for queue in QUEUES:
            front = self._front(queue)
            of_queue = [lease for lease in pending if lease.queue == queue]
            for lease in islice(self._without_message(queue, front, of_queue), _MOST_RESENT):
                self._resend(lease, front)
        self._drop_messages_of_the_ended()

    def worker_lost(self, job_id: str, worker: str) -> None:
        """Hand the job on at once, because the process called `worker`, which ran it, is known to be dead."""
        if self._release(job_id, worker):
            for lease in self._leases.of([job_id]):
                if not self._end(lease):
                    self._resend(lease, self._front(lease.queue))

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
        is_dead = self._silent.get(_beat(lease), 0) >= _LOOKS_TO_BE_SURE
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

    def _without_message(self, queue: QueueName, front: _Front | None, abandoned: Sequence[Lease]) -> Iterator[Lease]:
        """The jobs of that queue that nobody has, `abandoned` ones and waiting ones, and whose message is not in it.

        To look through the queue would cost its length each time; its front tells enough. First messages lie in
        the order of creation, and messages sent again go before them. So of the jobs sent again only those have a
        message that lie before the first first message, and none of the others that is older than that one's job.
        """
        if front is None:
            yield from (lease for lease in abandoned if lease.resent_s is None)
            return
        for lease in (*abandoned, *self._leases.queued(queue, self._unstarted_after_s, front.first_created_at)):
            if lease.resent_s is None or (lease.resent_s > self._unstarted_after_s and not front.holds(lease)):
                yield lease

    def _front(self, queue: QueueName) -> _Front | None:
        """What lies at the front of that queue; None if too much does to tell."""
        # Mostly the first message tells.
        for most in (1, MOST_IN_FRONT):
            front = _Front()
            job_ids = next_job_ids(self._redis, queue, most)
            for lease in self._leases.of(job_ids):
                if lease.resent_s is not None:
                    front.add(lease)
                elif lease.attempt == 0:
                    front.first_created_at = lease.created_at
                    return front
                # Else it is one too many, of a job that has begun since.
            if len(job_ids) < most:
                return front
        return None

    def _drop_messages_of_the_ended(self) -> None:
        """Leave nothing in Redis that Celery would hand out after the visibility timeout, for nobody to do."""
        messages = delivered_messages(self._redis)
        states = self._store.states(list(messages.values()))
        ended = [tag for tag, state in zip(messages, states, strict=True) if state is None or state.is_final]
        drop_delivered(self._redis, ended)

    def _resend(self, lease: Lease, front: _Front | None) -> None:
        """Send the job again, to the very front if nothing is known of it."""
        if not self._leases.note_resent(lease.job_id):
            return
        logger.warning(
            "job %s: its worker or its message was lost; it is sent again", lease.job_id, extra={"job_id": lease.job_id}
        )
        self._queue.enqueue(lease.job_id, lease.queue)
        move_newest_to_front(self._redis, lease.queue, behind=front.before(lease) if front else None)
        if front:
            front.add(lease)


def _beat(lease: Lease) -> tuple[str, str]:
    return lease.job_id, lease.heartbeat or ""
