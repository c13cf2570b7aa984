"""Two queues, one reconciler: what it does for a job, and what it can tell of it, it does and tells by its queue."""

from __future__ import annotations

import subprocess
import sys

import pytest
import redis

from app.jobs.record import JobError
from app.jobs.store import JobStore
from app.queue import GPU_QUEUE_NAME, QUEUE_NAME, QUEUES, JobQueue, QueueName, delivered_messages, next_job_ids
from app.settings import Settings
from app.storage.protocol import Storage
from tests.unit.test_worker_reconciler import OLD, TAKES_AND_DIES, messages, posted, queue, reconciler
from worker.reconciler import Reconciler

__all__ = ["queue", "reconciler"]


@pytest.fixture(params=QUEUES)
def name(request: pytest.FixtureRequest) -> QueueName:
    found: QueueName = request.param
    return found


@pytest.fixture
def other(name: QueueName) -> QueueName:
    return GPU_QUEUE_NAME if name == QUEUE_NAME else QUEUE_NAME


def test_a_lost_attempt_goes_back_to_its_own(
    store: JobStore, reconciler: Reconciler, redis_client: redis.Redis, name: QueueName, other: QueueName
) -> None:
    silent, dead = posted(store, name=name), posted(store, OLD + 1.0, name=name)
    store.start(silent.id, "here:1")
    store.start(dead.id, "here:2")
    reconciler.worker_lost(dead.id, "here:2")
    assert next_job_ids(redis_client, name) == [dead.id]
    for _ in range(3):
        reconciler.look()
    assert next_job_ids(redis_client, name) == [silent.id]
    assert (messages(redis_client, name), messages(redis_client, other)) == (2, 0)


def test_a_lost_message_is_sent_to_its_own(
    store: JobStore, queue: JobQueue, reconciler: Reconciler, redis_client: redis.Redis,
    name: QueueName, other: QueueName,
) -> None:  # fmt: skip
    # The other queue's front is older, and tells nothing of this one.
    posted(store, OLD - 100, queue, other)
    lost = posted(store, OLD, name=name)
    posted(store, OLD + 1, queue, name)
    for _ in range(3):
        reconciler.look()
    assert next_job_ids(redis_client, name) == [lost.id]
    assert (messages(redis_client, name), messages(redis_client, other)) == (2, 1)


def test_one_that_is_full_does_not_hide_that_the_other_is_empty(
    store: JobStore, queue: JobQueue, reconciler: Reconciler, redis_client: redis.Redis,
    name: QueueName, other: QueueName,
) -> None:  # fmt: skip
    for index in range(3):
        posted(store, OLD - 10 + index, queue, other)
    lost = posted(store, OLD, name=name)
    reconciler.look()
    assert next_job_ids(redis_client, name) == [lost.id]
    assert (messages(redis_client, name), messages(redis_client, other)) == (1, 3)


def test_a_front_that_tells_nothing_is_that_of_its_own_queue(
    store: JobStore, queue: JobQueue, storage: Storage, redis_client: redis.Redis,
    name: QueueName, other: QueueName,
) -> None:  # fmt: skip
    hasty = Reconciler(redis_client, queue, storage, unstarted_after_s=0.0)
    older = posted(store, OLD - 1.0, queue, other)
    here, there = posted(store, name=name), posted(store, name=other)
    for _ in range(2):
        hasty.look()
    assert next_job_ids(redis_client, name) == [here.id]
    assert next_job_ids(redis_client, other, 9) == [older.id], "whether the younger has a message, this does not tell"
    redis_client.delete(other)
    hasty.look()
    assert set(next_job_ids(redis_client, other, 9)) == {older.id, there.id}
    assert messages(redis_client, name) == 1


def test_those_of_the_ended_go_from_both(
    store: JobStore, queue: JobQueue, reconciler: Reconciler, redis_client: redis.Redis, settings: Settings
) -> None:
    jobs = [posted(store, OLD, queue, name) for name in QUEUES]
    for name in QUEUES:
        command = [sys.executable, "-c", TAKES_AND_DIES, str(settings.redis_url), name]
        assert subprocess.run(command, check=False).returncode == 9
    reconciler.look()
    assert sorted(delivered_messages(redis_client).values()) == sorted(job.id for job in jobs)
    for job in jobs:
        store.fail(job.id, JobError(code="a", message="b"))
    reconciler.look()
    assert delivered_messages(redis_client) == {}
