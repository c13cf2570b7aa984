"""The job queues: send a job's id to the workers through Celery, and hold Celery's settings.

There are two, so that jobs that want a GPU can wait for the workers that have one; which job goes where says
app/routing.py. A worker takes from both, unless it is told otherwise (``--queues``).

`celery_options` is the one place for what the broker and the workers must agree on; the worker
builds its Celery app from the same dictionary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import redis

from app.broker import CONNECT_TIMEOUT_S, RETRY_AFTER_S, SOCKET_TIMEOUT_S, broker_problem, broker_url, tls_options
from app.errors import BrokerFull, BrokerUnavailable
from app.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

QueueName = Literal["duetto", "duetto-gpu"]
QUEUE_NAME: Final = "duetto"
GPU_QUEUE_NAME: Final = "duetto-gpu"
# In the order in which a worker that takes from both looks at them: others can do what waits in the second.
QUEUES: Final[tuple[QueueName, ...]] = (GPU_QUEUE_NAME, QUEUE_NAME)
TASK_NAME: Final = "duetto.separate"

# On a stop, running jobs have so long to end before they go back to the queue. Most jobs that do not end in
# this time would not in three times as much either, and whoever pressed Ctrl-C waits.
SOFT_SHUTDOWN_TIMEOUT_S: Final = 10.0
# A new child that has not said by then that it is up is ended. On a machine with ten times too much to do it took some
# seconds (measured; Celery's own limit is 4), and the child that replaces it begins no earlier.
_CHILD_UP_TIMEOUT_S: Final = 30.0
_PUBLISH_RETRIES: Final = 2
_CONNECTIONS: Final = 4  # that send at once; a fifth sender waits, for less than a millisecond each
# What counts as the front of a queue: so many messages, which are read in some milliseconds.
MOST_IN_FRONT: Final = 500
# Kombu's own names: the messages that workers have and have not acknowledged, by delivery tag, and since when.
_DELIVERED: Final = "unacked"
_DELIVERED_SINCE: Final = "unacked_index"
# In one step: the message that another is to stay behind may be taken at any time. One that is not found has been
# taken, and with it all that lay before it. ARGV: the job that stays ahead or "", messages in the front.
_MOVE: Final = """
local moved = redis.call('LPOP', KEYS[1])
if not moved then return end
if ARGV[1] ~= '' then
  for _, other in ipairs(redis.call('LRANGE', KEYS[1], -ARGV[2], -1)) do
    if string.find(other, ARGV[1], 1, true) then return redis.call('LINSERT', KEYS[1], 'BEFORE', other, moved) end
  end
end
redis.call('RPUSH', KEYS[1], moved)
"""


def celery_options(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration, for the web process (which only sends) and for the workers.

    Raises
    ------
    ConfigurationError
        If no Redis is set, or its settings contradict each other.
    """
    visibility = {"visibility_timeout": settings.visibility_timeout_s}
    return {
        "broker_url": broker_url(settings),
        # No TLS where there is nothing to say of it. There is no result backend to tell the same.
        "broker_use_ssl": tls_options(settings) or None,
        "broker_connection_retry_on_startup": True,
        # A job longer than the visibility timeout would be started twice. Celery reads the three of
        # them in different places (the transport, the backend, and `celery inspect`), so all are set.
        "broker_transport_options": visibility
        | {
            # Kombu looks at lost messages every interval x throttle seconds: 100 by default.
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            # A worker takes from the queue that it names first as long as that has messages. By default it takes turns.
            "queue_order_strategy": "priority",
        },
        "result_backend_transport_options": visibility,
        "visibility_timeout": settings.visibility_timeout_s,
        # The job record is ours; Celery's PENDING cannot tell a waiting job from one that never was.
        "task_ignore_result": True,
        # A message is acknowledged when its task has ended, or its worker process has: who tries again, and
        # how often, is for worker/reconciler.py to say. Neither `task_reject_on_worker_lost`, which redelivers
        # a file that kills its worker for ever, nor `task_retry_on_worker_lost`, which counts only its own tries.
        "task_acks_late": True,
        "task_soft_time_limit": settings.soft_time_limit_s,
        "task_time_limit": settings.hard_time_limit_s,
        "task_default_queue": QUEUE_NAME,
        # What a worker without `--queues` takes from. Celery fills in exchange and routing key.
        "task_queues": {name: {} for name in QUEUES},
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_publish_retry_policy": {
            "max_retries": _PUBLISH_RETRIES,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        "worker_concurrency": settings.workers,
        # A worker that prefetches hoards long jobs while its neighbours idle.
        "worker_prefetch_multiplier": 1,
        "worker_soft_shutdown_timeout": SOFT_SHUTDOWN_TIMEOUT_S,
        "worker_proc_alive_timeout": _CHILD_UP_TIMEOUT_S,
        "worker_hijack_root_logger": False,
    }


class JobQueue:
    """Sends jobs to the workers, from any thread. Nothing is sent or connected before the first `enqueue`."""

    def __init__(self, settings: Settings) -> None:
        self._options = celery_options(settings)
        # Only the sender: the worker's blocking reads are longer than these.
        self._options["broker_transport_options"] = self._options["broker_transport_options"] | {
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": SOCKET_TIMEOUT_S,
        }

    @cached_property
    def _celery(self) -> Celery:
        # Celery and kombu cost as much start-up time as the rest of the web process together.
        from celery import Celery  # noqa: PLC0415

        celery = Celery("duetto", set_as_current=False)
        celery.conf.update(self._options)
        return celery

    @cached_property
    def _connections(self) -> Any:
        # Ours, because kombu's own pools are shared by the whole process and never closed. Kept, because to make a
        # connection takes twenty times as long as to send a job, and some memory that the process does not get back.
        return self._celery.connection_for_write().Pool(_CONNECTIONS)

    def close(self) -> None:
        """Close the connections; the next `enqueue` makes new ones."""
        if "_connections" in self.__dict__:
            self._connections.force_close_all()
            del self._connections

    def enqueue(self, job_id: str, queue: QueueName = QUEUE_NAME) -> None:
        """Send the job to a queue. The task's id is the job's.

        Raises
        ------
        BrokerUnavailable, BrokerFull
            If Redis cannot be reached, or has no memory left.
        """
        from kombu.exceptions import OperationalError  # noqa: PLC0415 - as above

        try:
            with self._connections.acquire(block=True) as connection:
                self._celery.send_task(
                    TASK_NAME,
                    args=[job_id],
                    task_id=job_id,
                    queue=queue,
                    ignore_result=True,
                    connection=connection,
                )
        except (redis.RedisError, OperationalError) as error:
            # Kombu puts its own error around that of Redis, or lets that one through.
            problem = broker_problem(error.__cause__ or error)
            if isinstance(problem, BrokerFull):
                raise problem from error
            raise BrokerUnavailable(
                "the job queue cannot be reached and the job was not taken; send it again in a moment",
                retry_after_s=RETRY_AFTER_S,
            ) from error


def next_job_ids(client: redis.Redis, queue: QueueName = QUEUE_NAME, most: int = 1) -> list[str]:
    """Return the ids of the jobs whose messages that queue delivers next, in that order, up to `most`.

    "" for a message that is none of ours. Raises `redis.exceptions.RedisError` if Redis cannot be reached.
    """
    # Kombu puts messages in on the left and takes them out on the right.
    return [_job_in(raw) for raw in reversed(cast("list[str]", client.lrange(queue, -most, -1)))]


def delivered_messages(client: redis.Redis) -> dict[str, str]:
    """Return the messages that workers have and have not acknowledged: delivery tag and job.

    Those of a worker that was killed stay there until the visibility timeout, which is hours. Messages of
    other tasks are left out. Raises `redis.exceptions.RedisError` if Redis cannot be reached.
    """
    found = {}
    for tag, raw in cast("dict[str, str]", client.hgetall(_DELIVERED)).items():
        # The message, its exchange, its routing key.
        if job_id := _job_of(json.loads(raw)[0]):
            found[tag] = job_id
    return found


def drop_delivered(client: redis.Redis, tags: Sequence[str]) -> None:
    """Let these messages never be delivered again. A worker that acknowledges one later changes nothing."""
    if tags:
        with client.pipeline() as pipeline:
            pipeline.zrem(_DELIVERED_SINCE, *tags)
            pipeline.hdel(_DELIVERED, *tags)
            pipeline.execute()


def _job_in(raw: str) -> str:
    try:
        return _job_of(json.loads(raw))
    except ValueError:
        return ""


def _job_of(message: Any) -> str:
    """Return the id of the job that a message of Celery's is about; "" if it is about none."""
    try:
        headers = message["headers"]
        return str(headers["id"]) if headers["task"] == TASK_NAME else ""
    except (KeyError, TypeError):
        return ""


def move_newest_to_front(client: redis.Redis, queue: QueueName = QUEUE_NAME, *, behind: str | None = None) -> None:
    """Let the message that was sent to that queue last be delivered next, or right after that of the job `behind`,
    if this waits at the front.

    Another may be sent before this is called; then that one jumps the queue and none is lost. Raises
    `redis.exceptions.RedisError` if Redis cannot be reached.
    """
    client.eval(_MOVE, 1, queue, behind or "", MOST_IN_FRONT)
