"""Jobs that were left behind are handed on, once, and nobody who lost one can still speak for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import redis

from app.errors import IllegalTransition
from app.jobs.lease import MAX_ATTEMPTS, Leases
from app.jobs.record import Job, JobError
from app.jobs.states import JobState, Stage
from app.jobs.store import JobStore
from app.queue import QUEUE_NAME, JobQueue, QueueName, delivered_messages, next_job_ids
from app.settings import Settings
from app.stem_names import RESULT
from app.storage.protocol import Storage
from tests.unit.test_app_store import new_job
from worker.reconciler import Reconciler
from worker.upkeep import Upkeep

OLD = time.time() - 1000.0


@pytest.fixture
def leases(redis_client: redis.Redis) -> Leases:
    return Leases(redis_client)


@pytest.fixture
def queue(settings: Settings) -> JobQueue:
    return JobQueue(settings)


@pytest.fixture
def reconciler(redis_client: redis.Redis, queue: JobQueue, storage: Storage) -> Reconciler:
    """One that has no patience with a silent attempt, and the usual with a message."""
    return Reconciler(redis_client, queue, storage, lost_after_s=0.0)


@pytest.fixture
def job(store: JobStore) -> Job:
    return posted(store)


def posted(
    store: JobStore, created_at: float = OLD, queue: JobQueue | None = None, name: QueueName = QUEUE_NAME
) -> Job:
    """A job that waits in the queue called `name`, with a message if `queue` is there to send one."""
    job = new_job(created_at).model_copy(update={"queue": name})
    store.create(job)
    if queue is not None:
        queue.enqueue(job.id, name)
    return job


def messages(client: redis.Redis, name: QueueName = QUEUE_NAME) -> int:
    return client.llen(name)


def publish(storage: Storage, job_id: str) -> None:
    with storage.upload(job_id, "audio.wav") as part:
        part.write(b"sound")
    with storage.scratch(job_id) as scratch:
        (scratch / RESULT).write_text("{}")
        assert storage.publish(job_id, scratch)


def test_an_attempt_that_has_a_job_keeps_others_out(store: JobStore, job: Job, leases: Leases) -> None:
    store.start(job.id)
    with pytest.raises(IllegalTransition, match="an attempt has it"):
        store.start(job.id)
    assert leases.beat(job.id, 1)
    assert store.get(job.id).attempts == 1


def test_a_lost_attempt_cannot_speak_any_more(store: JobStore, job: Job, leases: Leases) -> None:
    store.start(job.id)
    assert leases.release(job.id, 1)
    assert not leases.beat(job.id, 1)
    assert not leases.release(job.id, 1)
    store.start(job.id)
    before = store.get(job.id)
    for speak in (
        lambda: store.progress(job.id, Stage.TAG, 0.5, attempt=1),
        lambda: store.succeed(job.id, attempt=1),
        lambda: store.cancel(job.id, attempt=1),
    ):
        with pytest.raises(IllegalTransition, match="lost it to another"):
            speak()
    assert store.get(job.id) == before
    assert store.succeed(job.id, attempt=2).state is JobState.SUCCEEDED


def test_a_beat_saves_from_being_taken(store: JobStore, job: Job, leases: Leases) -> None:
    store.start(job.id)
    seen = leases.running()[0]
    assert leases.beat(job.id, 1)
    assert not leases.release(job.id, 1, seen.heartbeat)
    assert leases.beat(job.id, 1)


def test_a_heartbeat_is_no_news(store: JobStore, job: Job, leases: Leases) -> None:
    before = store.start(job.id)
    leases.beat(job.id, 1)
    assert store.get(job.id) == before


def test_after_three_attempts_a_job_fails(
    store: JobStore, job: Job, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    for attempt in range(MAX_ATTEMPTS):
        assert store.start(job.id).attempts == attempt + 1
        redis_client.delete(QUEUE_NAME)
        for _ in range(3):
            reconciler.look()
    failed = store.get(job.id)
    assert failed.state is JobState.FAILED
    assert failed.attempts == MAX_ATTEMPTS
    assert failed.error is not None
    assert failed.error.code == "worker_lost"
    assert failed.error.retryable
    assert messages(redis_client) == 0


def test_nothing_starts_a_job_that_has_had_its_attempts(
    store: JobStore, job: Job, leases: Leases, reconciler: Reconciler
) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        store.start(job.id)
        leases.release(job.id, attempt)
    with pytest.raises(IllegalTransition):
        store.start(job.id)
    reconciler.look()
    assert store.get(job.id).state is JobState.FAILED


def test_what_was_published_counts(
    store: JobStore, job: Job, leases: Leases, reconciler: Reconciler, storage: Storage
) -> None:
    store.start(job.id)
    publish(storage, job.id)
    leases.release(job.id, 1)
    reconciler.look()
    assert store.get(job.id).state is JobState.SUCCEEDED


def test_a_cancel_outlives_the_worker(store: JobStore, job: Job, leases: Leases, reconciler: Reconciler) -> None:
    store.start(job.id)
    store.request_cancel(job.id)
    leases.release(job.id, 1)
    reconciler.look()
    assert store.get(job.id).state is JobState.CANCELED


def test_a_waiting_job_whose_message_vanished(
    store: JobStore, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    job = posted(store)
    new = posted(store, created_at=time.time())
    for _ in range(3):
        reconciler.look()
    assert messages(redis_client) == 1, "sent once, and only what has waited for a while"
    assert next_job_ids(redis_client) == [job.id]
    assert store.start(job.id).attempts == 1
    assert store.get(new.id).state is JobState.QUEUED


def test_a_message_that_vanishes_again_is_sent_again(
    store: JobStore, queue: JobQueue, storage: Storage, redis_client: redis.Redis
) -> None:
    job = posted(store)
    hasty = Reconciler(redis_client, queue, storage, unstarted_after_s=0.0)
    hasty.look()
    redis_client.delete(QUEUE_NAME)
    hasty.look()
    assert next_job_ids(redis_client) == [job.id]
    hasty.look()
    assert messages(redis_client) == 1, "while it is there it is left alone"


def test_jobs_that_wait_their_turn_are_left_alone(
    store: JobStore, queue: JobQueue, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    for index in range(5):
        posted(store, OLD + index, queue)
    reconciler.look()
    assert messages(redis_client) == 5


def test_a_message_missing_from_a_long_queue(
    store: JobStore, queue: JobQueue, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    lost = posted(store, OLD)
    for index in range(1, 4):
        posted(store, OLD + index, queue)
    reconciler.look()
    assert messages(redis_client) == 4
    assert next_job_ids(redis_client) == [lost.id]
    reconciler.look()
    assert messages(redis_client) == 4


@pytest.mark.parametrize("front", ["deleted", "begun", "not ours"])
def test_a_front_that_tells_nothing_is_looked_past(
    store: JobStore, queue: JobQueue, reconciler: Reconciler, redis_client: redis.Redis, front: str
) -> None:
    job = posted(store, OLD)
    if front == "deleted":
        queue.enqueue(uuid.uuid4().hex)
    elif front == "begun":
        store.start(posted(store, OLD - 1.0, queue).id)
    else:
        redis_client.lpush(QUEUE_NAME, "[]")
    for _ in range(2):
        reconciler.look()
    assert messages(redis_client) == 2
    assert next_job_ids(redis_client) == [job.id]


def test_one_of_several_sent_again_whose_message_vanishes(
    store: JobStore, queue: JobQueue, storage: Storage, redis_client: redis.Redis
) -> None:
    jobs = [posted(store, OLD + index) for index in range(3)]
    later = posted(store, OLD + 9.0, queue)
    hasty = Reconciler(redis_client, queue, storage, unstarted_after_s=0.0)
    hasty.look()
    sent = next_job_ids(redis_client, most=9)
    assert sent == [*(job.id for job in jobs), later.id]
    redis_client.lrem(QUEUE_NAME, 1, redis_client.lrange(QUEUE_NAME, -2, -2)[0])
    for _ in range(2):
        hasty.look()
        assert next_job_ids(redis_client, most=9) == sent, "that one, in its place, and no other twice"


def test_a_job_whose_worker_died_goes_before_the_younger_ones_that_were_sent_again(
    store: JobStore, leases: Leases, queue: JobQueue, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    jobs = [posted(store, OLD + index) for index in range(5)]
    never_lost = posted(store, OLD + 9.0, queue)
    for killed in (jobs[0], jobs[2]):
        store.start(killed.id)
    reconciler.look()
    assert next_job_ids(redis_client, most=9) == [jobs[1].id, jobs[3].id, jobs[4].id, never_lost.id]
    for killed in (jobs[2], jobs[0]):
        leases.release(killed.id, 1)
        reconciler.look()
    assert next_job_ids(redis_client, most=9) == [*(job.id for job in jobs), never_lost.id]


def test_a_front_too_long_to_tell_is_left_to_the_workers(
    store: JobStore, queue: JobQueue, storage: Storage, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.reconciler.MOST_IN_FRONT", 2)
    hasty = Reconciler(redis_client, queue, storage, unstarted_after_s=0.0)
    for index in range(3):
        posted(store, OLD + index)
    hasty.look()
    lost = posted(store, OLD + 3.0)
    hasty.look()
    assert messages(redis_client) == 3
    redis_client.rpop(QUEUE_NAME, 2)
    hasty.look()
    assert lost.id in next_job_ids(redis_client, most=9)


def test_a_dead_process_gives_up_its_job_at_once(
    store: JobStore, job: Job, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    store.start(job.id, "here:1")
    reconciler.worker_lost(job.id, "here:2")
    assert messages(redis_client) == 0, "that one has another job"
    reconciler.worker_lost(job.id, "here:1")
    assert messages(redis_client) == 1
    assert store.start(job.id, "here:2").attempts == 2
    reconciler.worker_lost(job.id, "here:1")
    assert store.get(job.id).attempts == 2
    assert messages(redis_client) == 1


def test_a_worker_that_stops_lets_go(
    store: JobStore, job: Job, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    store.start(job.id, "here:1")
    assert not reconciler.let_go(job.id, "here:2")
    assert reconciler.let_go(job.id, "here:1")
    reconciler.look()
    assert messages(redis_client) == 0, "Celery hands its message back"
    assert store.start(job.id, "there:1").attempts == 2


def test_a_process_killed_for_its_time_fails_its_own_job_only(
    store: JobStore, job: Job, reconciler: Reconciler
) -> None:
    store.start(job.id, "here:1")
    reconciler.time_out(job.id, "here:2")
    assert store.get(job.id).state is JobState.RUNNING
    reconciler.time_out(job.id, "here:1")
    error = store.get(job.id).error
    assert error is not None
    assert error.code == "time_limit"


TAKES_AND_DIES = """
import os, sys
from kombu import Connection
with Connection(sys.argv[1]) as connection:
    queue = connection.SimpleQueue(sys.argv[2])
    queue.get(timeout=10)
    os._exit(9)
"""


def test_messages_of_dead_workers_go_when_their_jobs_have_ended(
    store: JobStore, queue: JobQueue, reconciler: Reconciler, redis_client: redis.Redis, settings: Settings
) -> None:
    jobs = [posted(store, OLD + index, queue) for index in range(3)]
    for _ in jobs:
        command = [sys.executable, "-c", TAKES_AND_DIES, str(settings.redis_url), QUEUE_NAME]
        assert subprocess.run(command, check=False).returncode == 9
    store.fail(jobs[0].id, JobError(code="a", message="b"))
    store.delete(jobs[1].id)
    reconciler.look()
    assert list(delivered_messages(redis_client).values()) == [jobs[2].id]
    assert redis_client.zcard("unacked_index") == 1
    store.cancel(jobs[2].id)
    reconciler.look()
    assert not redis_client.exists("unacked", "unacked_index")


def test_one_upkeep_acts_at_a_time(
    store: JobStore, job: Job, leases: Leases, settings: Settings, redis_client: redis.Redis
) -> None:
    def look_once() -> None:
        upkeep = Upkeep(settings)
        upkeep.start()
        upkeep.stop()

    store.start(job.id)
    leases.release(job.id, 1)
    redis_client.set("duetto:upkeep", "another worker")
    look_once()
    assert messages(redis_client) == 0
    assert redis_client.get("duetto:upkeep") == "another worker"
    redis_client.delete("duetto:upkeep")
    look_once()
    assert messages(redis_client) == 1
    assert redis_client.get("duetto:upkeep") is None, "the next one need not wait"


def test_the_sweep_runs_when_a_worker_starts(
    settings: Settings, storage: Storage, redis_client: redis.Redis, tmp_path: Path
) -> None:
    trash = settings.data_dir / "trash"
    trash.mkdir(parents=True)
    (trash / "x").write_bytes(b"left")
    old = time.time() - 100_000
    os.utime(trash / "x", (old, old))
    upkeep = Upkeep(settings)
    upkeep.start()
    upkeep.stop()
    assert list(trash.iterdir()) == []
