"""A web process that is told to stop while clients wait: each has its answer first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
import redis

from app.jobs.store import JobStore
from app.settings import Settings
from app.stack import listen, url_of, worker_environment
from tests.conftest import leftovers
from tests.storages import Stored
from tests.unit.test_app_api import MP4, VIDEO, post
from tests.unit.test_app_events import following

ROOT = Path(__file__).resolve().parents[2]
# Below the wait that is asked for: who is not answered because of the stop is cut off with a bare 500.
GRACE_S, WAIT_S = 20, 30
SHORT_GRACE_S = 1

Api = tuple[subprocess.Popen[bytes], httpx.Client]


@pytest.fixture
def api(request: pytest.FixtureRequest, settings: Settings, redis_client: redis.Redis) -> Iterator[Api]:
    """The API as docker-compose.yml runs it, and a client of it. No worker runs: what is posted stays queued."""
    assert redis_client.dbsize() == 0
    assert settings.max_wait_s >= WAIT_S
    with closing(listen("127.0.0.1", 0)) as listener:
        command = [
            sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory", "--fd", str(listener.fileno()),
            "--timeout-graceful-shutdown", str(getattr(request, "param", GRACE_S)), "--log-level", "warning",
        ]  # fmt: skip
        with (
            subprocess.Popen(
                command, cwd=ROOT, env=worker_environment(settings), pass_fds=[listener.fileno()]
            ) as process,
            httpx.Client(base_url=url_of(listener), timeout=60.0, trust_env=False) as client,
        ):
            yield process, client
            process.kill()


def sent(client: httpx.Client, request: httpx.Request) -> HTTPConnection:
    """A connection on which `request` has been sent, and its answer not been waited for."""
    connection = HTTPConnection(client.base_url.host, client.base_url.port, timeout=60.0)
    connection.request(request.method, str(request.url.raw_path, "ascii"), request.read(), dict(request.headers))
    return connection


def answered(connection: HTTPConnection) -> tuple[int, bytes]:
    """Status and body of the answer, waited for."""
    with closing(connection), connection.getresponse() as answer:
        return answer.status, answer.read()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_is_answered_with_the_job_as_it_is(api: Api, signum: signal.Signals) -> None:
    process, client = api
    path = f"/v1/jobs/{post(client)['id']}"
    known = client.get(path)
    build = client.build_request
    waiting = {
        "poll": build("GET", path, params={"wait": WAIT_S}),
        "news": build("GET", path, params={"wait": WAIT_S}, headers={"If-None-Match": known.headers["ETag"]}),
        "post": build("POST", "/v1/jobs", files=VIDEO, headers={"Prefer": f"wait={WAIT_S}"}),
    }
    with following(client, known.json()["id"]) as events:
        assert next(events)["data"] == known.json()
        connections = {name: sent(client, request) for name, request in waiting.items()}
        # What came before this has been read when it is answered.
        assert client.get("/livez").status_code == 200
        process.send_signal(signum)
        answers = {name: answered(connection) for name, connection in connections.items()}
        assert {name: status for name, (status, _) in answers.items()} == {"poll": 200, "news": 304, "post": 202}
        assert json.loads(answers["poll"][1]) == known.json()
        assert json.loads(answers["post"][1])["state"] == "queued"
        # It ends as a stream should, so a client asks again; one that is cut off raises.
        assert list(events) == []
    assert process.wait(60.0) in {0, -signum}  # uvicorn makes 0 of a Ctrl-C


@pytest.mark.parametrize("api", [SHORT_GRACE_S], indirect=True)
def test_an_upload_that_does_not_end_in_time_is_told_so(api: Api, redis_client: redis.Redis, stored: Stored) -> None:
    process, client = api
    upload = client.build_request("POST", "/v1/jobs", files=VIDEO)
    content = upload.read()
    with closing(HTTPConnection(client.base_url.host, client.base_url.port, timeout=60.0)) as connection:
        connection.request("POST", "/v1/jobs", content[:-1], dict(upload.headers))
        assert client.get("/livez").status_code == 200
        process.send_signal(signal.SIGTERM)
        with connection.getresponse() as answer:
            told = json.load(answer)
    assert (answer.status, told["code"], answer.headers["Content-Type"]) == (
        503, "server_stopping", "application/problem+json",
    )  # fmt: skip
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Request-Id"] == told["request_id"]
    process.wait(60.0)
    assert leftovers(redis_client) == []
    assert stored() == []


@pytest.mark.parametrize("api", [SHORT_GRACE_S], indirect=True)
def test_a_job_that_is_queued_as_its_request_is_cut_off_keeps_its_files(
    api: Api, redis_client: redis.Redis, store: JobStore, stored: Stored
) -> None:
    process, client = api
    upload = client.build_request("POST", "/v1/jobs", files={"video": ("duet.mp4", MP4 + bytes(1 << 20))})
    content = upload.read()
    broker = redis_client.info("server")["process_id"]
    with closing(HTTPConnection(client.base_url.host, client.base_url.port, timeout=60.0)) as connection:
        connection.request("POST", "/v1/jobs", content[:-1], dict(upload.headers))
        while not stored():  # there is room for it, and its file has begun
            assert process.poll() is None
        os.kill(broker, signal.SIGSTOP)
        try:
            connection.send(content[-1:])
            assert client.get("/livez").status_code == 200
            process.send_signal(signal.SIGTERM)
            with connection.getresponse() as answer:
                assert json.load(answer)["code"] == "server_stopping"
        finally:
            os.kill(broker, signal.SIGCONT)
    process.wait(60.0)
    (job,) = store.list(10).jobs
    assert stored() == [f"jobs/{job.id}/upload/{job.input.video}"]
