"""An attempt that falls silent loses its job, and one that only seems to keeps it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import redis

from app.broker import connect
from app.jobs.lease import Leases
from app.jobs.record import Job
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.queue import JobQueue, next_job_ids
from app.settings import Settings
from app.storage.protocol import Storage
from tests.brokers import Broker, await_answer
from tests.unit.test_worker_reconciler import job, leases, messages, posted, queue, reconciler
from worker.heartbeat import Heartbeat, worker_token
from worker.reconciler import Reconciler

__all__ = ["job", "leases", "queue", "reconciler"]


def test_a_silent_attempt_loses_its_job(
    store: JobStore, job: Job, queue: JobQueue, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    store.start(job.id)
    other = posted(store, queue=queue)
    reconciler.look()
    reconciler.look()
    assert messages(redis_client) == 1, "two looks are not enough"
    reconciler.look()
    assert messages(redis_client) == 2
    assert next_job_ids(redis_client) == [job.id], "it has waited already"
    for _ in range(3):
        reconciler.look()
    assert messages(redis_client) == 2, "it is sent once"
    assert store.start(job.id).attempts == 2
    assert store.get(other.id).state is JobState.QUEUED


def test_a_beat_between_two_looks_begins_the_row_anew(
    store: JobStore, job: Job, leases: Leases, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    store.start(job.id)
    for _ in range(3):
        reconciler.look()
        reconciler.look()
        assert leases.beat(job.id, 1), "a stalled worker that comes back has its job"
    assert messages(redis_client) == 0


def test_an_outage_between_two_looks_begins_the_row_anew(settings: Settings, storage: Storage, tmp_path: Path) -> None:
    with Broker(tmp_path / "broker", "appendfsync always") as broker:
        settings = settings.model_copy(update={"redis_url": broker.url()})
        with closing(connect(settings)) as client, closing(JobQueue(settings)) as queue:
            await_answer(client)
            job = posted(JobStore(client))
            JobStore(client).start(job.id)
            reconciler = Reconciler(client, queue, storage, lost_after_s=0.0)
            for _ in range(2):
                reconciler.look()
                reconciler.look()
                broker.kill()
                with pytest.raises(redis.ConnectionError):
                    reconciler.look()
                broker.start()
                await_answer(client)
            assert Leases(client).beat(job.id, 1), "nobody could beat meanwhile"


def test_a_living_attempt_keeps_its_job(
    store: JobStore, job: Job, leases: Leases, reconciler: Reconciler, redis_client: redis.Redis
) -> None:
    store.start(job.id)
    for _ in range(4):
        reconciler.look()
        assert leases.beat(job.id, 1)
    assert messages(redis_client) == 0


def test_patience_with_a_silent_attempt(
    store: JobStore, job: Job, queue: JobQueue, storage: Storage, redis_client: redis.Redis, leases: Leases
) -> None:
    store.start(job.id)
    patient = Reconciler(redis_client, queue, storage)
    for _ in range(3):
        patient.look()
    assert leases.beat(job.id, 1)


def test_the_heart_beats_by_itself(store: JobStore, job: Job, settings: Settings, leases: Leases) -> None:
    store.start(job.id, worker_token())
    assert leases.attempt_of(job.id, worker_token()) == 1
    first = leases.running()[0].heartbeat
    with Heartbeat(job.id, 1, settings, every_s=0.01) as heartbeat:
        while leases.running()[0].heartbeat == first:
            time.sleep(0.01)
        assert not heartbeat.is_lost
        assert leases.release(job.id, 1)
        while not heartbeat.is_lost:
            time.sleep(0.01)
    assert leases.running()[0].heartbeat is None, "it does not take the job back"


def test_a_heart_beats_on_when_the_broker_does_not_answer(settings: Settings, job: Job) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with Heartbeat(job.id, 1, away, every_s=0.01) as heartbeat:
        time.sleep(0.05)
    assert not heartbeat.is_lost, "nobody can take the job away meanwhile"


def test_the_heart_beats_while_python_and_numpy_work(
    store: JobStore, job: Job, settings: Settings, leases: Leases
) -> None:
    store.start(job.id)
    numbers = np.random.default_rng(0).standard_normal((300, 300))
    seen: set[str | None] = set()
    with Heartbeat(job.id, 1, settings, every_s=0.01):
        while len(seen) < 4:
            seen.add(leases.running()[0].heartbeat)
            # Neither gives way of itself: the interpreter must, between two steps of the one and within the other.
            json.dumps(list(range(100_000)))
            np.linalg.svd(numbers)


STALLS = """
import sys
import time
from app.settings import Settings
from worker.heartbeat import Heartbeat
with Heartbeat(sys.argv[1], 1, Settings(redis_url=sys.argv[2]), every_s=0.05) as heartbeat:
    while not heartbeat.is_lost:
        print("lives", flush=True)
        time.sleep(0.05)
print("stops", flush=True)
"""


def test_a_stalled_process_that_has_lost_its_job_hears_of_it(
    store: JobStore, job: Job, settings: Settings, leases: Leases, reconciler: Reconciler
) -> None:
    store.start(job.id)
    command = [sys.executable, "-c", STALLS, job.id, str(settings.redis_url)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "lives\n"
        process.send_signal(signal.SIGSTOP)
        while leases.running()[0].heartbeat is not None:
            reconciler.look()
        assert store.start(job.id).attempts == 2
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read().endswith("stops\n")
    assert leases.beat(job.id, 2), "the second attempt has heard nothing of the first"
