"""A broker that goes away in the midst of an upload: what may have been taken is kept, and taken once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
import redis

from app import supervisor
from app.embedded import EmbeddedValkey
from app.errors import BrokerUnavailable
from app.jobs.record import Job
from app.jobs.store import JobStore
from app.main import create_app
from app.queue import QUEUE_NAME, JobQueue, QueueName
from app.settings import Settings
from tests.conftest import ServedApp

KEY = {"Idempotency-Key": "one-upload"}
AWAY_S = 2.0
PATIENCE_S = 30.0


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedValkey]:
    """A broker that stays away for a while when it is killed."""
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF_S", AWAY_S)
    with EmbeddedValkey(tmp_path / "broker") as server:
        yield server


class KillsTheBroker(JobQueue):
    """A queue whose broker dies when a message is about to be sent, the first time."""

    def __init__(self, settings: Settings, broker: EmbeddedValkey) -> None:
        super().__init__(settings)
        self._victim: EmbeddedValkey | None = broker

    def enqueue(self, job_id: str, queue: QueueName = QUEUE_NAME) -> None:
        if self._victim is not None:
            os.kill(self._victim.pid, signal.SIGKILL)
            self._victim = None
        super().enqueue(job_id, queue)


def test_an_upload_that_may_have_been_taken_keeps_its_files(
    settings: Settings, broker: EmbeddedValkey, sound: tuple[str, bytes]
) -> None:
    settings = settings.model_copy(update={"redis_url": broker.url})
    app = create_app(settings)
    app.state.queue = KillsTheBroker(settings, broker)
    names = {"left": "violin", "right": "cello"}
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=60, headers=KEY) as client:
        first = client.post("/v1/jobs", files={"audio": sound}, data=names)
        assert (first.status_code, first.json()["code"]) == (503, "broker_unavailable")
        deadline = time.monotonic() + PATIENCE_S
        while (again := client.post("/v1/jobs", files={"audio": sound}, data=names)).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert again.status_code == 202
        listed = [job["id"] for job in client.get("/v1/jobs").json()["jobs"]]
    assert listed == [again.json()["id"]]
    assert (settings.data_dir / "jobs" / listed[0] / "upload" / "audio.wav").read_bytes() == sound[1]


class AsksTwice(JobStore):
    """A store whose connection breaks after Redis has acted: the client library then sends the command again."""

    def create(self, job: Job) -> None:
        super().create(job)
        super().create(job)


def test_a_job_that_is_there_already_is_this_one(settings: Settings, store: JobStore, sound: tuple[str, bytes]) -> None:
    app = create_app(settings)
    app.state.store = AsksTwice(app.state.redis)
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        answer = client.post("/v1/jobs", files={"audio": sound}, data={"left": "violin", "right": "cello"})
    assert answer.status_code == 202, answer.text
    assert [job.id for job in store.list().jobs] == [answer.json()["id"]]


@pytest.fixture
def sound() -> tuple[str, bytes]:
    """What looks like a recording, as a form's file."""
    return "duet.wav", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100)


def test_a_queue_outlives_its_broker(settings: Settings, broker: EmbeddedValkey) -> None:
    queue = JobQueue(settings.model_copy(update={"redis_url": broker.url}))
    queue.enqueue("0" * 32)
    os.kill(broker.pid, signal.SIGKILL)
    with pytest.raises(BrokerUnavailable):
        queue.enqueue("1" * 32)
    deadline = time.monotonic() + PATIENCE_S
    sent = False
    while not sent:
        assert time.monotonic() < deadline
        with suppress(BrokerUnavailable):
            queue.enqueue("2" * 32)
            sent = True
    queue.close()
    queue.enqueue("3" * 32)
    queue.close()
    with closing(redis.Redis.from_url(broker.url)) as client:
        assert client.llen(QUEUE_NAME) == 3


def test_many_send_at_once(settings: Settings, redis_client: redis.Redis) -> None:
    queue = JobQueue(settings)
    with ThreadPoolExecutor(12) as senders:
        list(senders.map(queue.enqueue, (f"{number:032x}" for number in range(60))))
    queue.close()
    assert redis_client.llen(QUEUE_NAME) == 60
