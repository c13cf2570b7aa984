"""The client's retries against the real API, through a line that loses answers: one upload stays one job."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from app import client as client_module
from app.client import DuettoClient, ServerUnreachable
from app.jobs.store import JobStore
from app.main import create_app
from app.queue import QUEUE_NAME
from app.settings import Settings
from tests.conftest import ServedApp
from tests.unit.test_app_api import MP4


class LosesAnswers:
    """A relay to a server that hangs up on the client when the server answers, as often as told."""

    def __init__(self, server_url: str, losses: int) -> None:
        parts = urlsplit(server_url)
        self._server = (parts.hostname, parts.port)
        self._losses = losses
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> LosesAnswers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes up `accept`, which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(self._server) as server, contextlib.suppress(OSError):
                upwards = threading.Thread(target=self._carry, args=(client, server))
                upwards.start()
                if self._losses:
                    self._losses -= 1
                    server.recv(1)  # the server has decided
                    client.shutdown(socket.SHUT_RDWR)
                else:
                    self._carry(server, client)
                server.shutdown(socket.SHUT_RDWR)
                upwards.join()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def url(settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(client_module, "FIRST_BACKOFF_S", 0.01)
    with ServedApp(create_app(settings)) as url:
        yield url


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "duet.mp4"
    path.write_bytes(MP4 * 1000)
    return path


def test_an_answer_that_is_lost_makes_no_second_job(
    url: str, video: Path, store: JobStore, redis_client: redis.Redis
) -> None:
    with LosesAnswers(url, losses=2) as line, DuettoClient(line.url) as client:
        job = client.submit(video)
    assert [found.id for found in store.list().jobs] == [job.id]
    assert redis_client.llen(QUEUE_NAME) == 1


def test_a_call_may_take_up_where_the_last_one_failed(url: str, video: Path, store: JobStore) -> None:
    with LosesAnswers(url, losses=1) as line:
        with DuettoClient(line.url, retries=0) as client, pytest.raises(ServerUnreachable):
            client.submit(video, idempotency_key="duet-7")
        with DuettoClient(line.url, retries=0) as client:
            job = client.submit(video, idempotency_key="duet-7")
    assert [found.id for found in store.list().jobs] == [job.id]
