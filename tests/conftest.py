"""Fixtures that tests share: a real broker, and the app over a real socket.

One Valkey runs for the whole session and is emptied for each test that uses it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import uvicorn
from fastapi import FastAPI

from app.broker import ROOM_KEY, connect
from app.jobs.store import JobStore
from app.main import create_app
from app.metrics.tally import KEY as METRICS_KEY
from app.settings import Settings
from app.storage import open_storage
from app.storage.protocol import Storage
from tests.brokers import Broker, await_answer
from tests.s3_server import S3Server
from tests.storages import Stored

# For these tests and what they start. Several processes compute at a time, and more threads than there are cores spin:
# some tests then take a hundred times as long. Nothing above imports NumPy or torch, which read the last three once.
for _variable in ("DUETTO_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
# A shell has what runs in its background ignore Ctrl-C, children inherit it, and some tests stop theirs by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey server of this session, and of this process alone."""
    with Broker(tmp_path_factory.mktemp("broker"), "appendonly no") as server:
        with closing(redis.Redis.from_url(server.url())) as client:
            await_answer(client)
        yield server.url()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server of this session."""
    with S3Server() as server:
        yield server


@pytest.fixture
def settings(request: pytest.FixtureRequest, broker_url: str, tmp_path: Path) -> Settings:
    """Settings with the session's broker and folders of this test; with the parameter "s3" also a bucket of it."""
    more: dict[str, Any] = {
        "redis_url": broker_url, "cache_dir": tmp_path / "cache", "max_wait_s": 30.0, "offline": True,
    }  # fmt: skip
    if getattr(request, "param", "local") == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        return server.settings(server.make_bucket(), tmp_path / "data", **more)
    return Settings(data_dir=tmp_path / "data", **more)


@pytest.fixture
def redis_client(settings: Settings) -> Iterator[redis.Redis]:
    """A client of the session's broker, which is empty."""
    client = connect(settings)
    client.flushall()
    yield client
    client.close()


def leftovers(client: redis.Redis) -> list[str]:
    """The keys that are neither the queue's own machinery nor the tally of all that ever happened (app/metrics), nor
    gone within a millisecond (app/broker.py, the look whether there is room)."""
    known = {METRICS_KEY, ROOM_KEY}
    return [key for key in map(str, client.keys("*")) if not key.startswith("_kombu") and key not in known]


@pytest.fixture
def store(redis_client: redis.Redis) -> JobStore:
    """A job store without jobs."""
    return JobStore(redis_client)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    """A storage without files."""
    return open_storage(settings)


@pytest.fixture
def stored(request: pytest.FixtureRequest, settings: Settings) -> Stored:
    """What lies in the storage, and besides it in the data folder."""

    def files() -> list[str]:
        below = settings.data_dir
        found = [str(path.relative_to(below)) for path in below.rglob("*") if path.is_file()]
        if settings.storage:
            server: S3Server = request.getfixturevalue("s3_server")
            assert server.unfinished(settings) == 0
            found += server.keys(settings)
        return sorted(found)

    return files


class ServedApp:
    """An app behind uvicorn on a free port of loopback, in a thread."""

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", ws="none", lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            self._thread.join(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def client(settings: Settings, redis_client: redis.Redis) -> Iterator[httpx.Client]:
    """A client of the app under `settings`. No worker runs: what is posted stays queued."""
    with ServedApp(create_app(settings)) as url, httpx.Client(base_url=url, timeout=60) as session:
        yield session
