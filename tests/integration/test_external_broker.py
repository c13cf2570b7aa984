"""An external broker with users that have passwords, behind TLS where this machine has such a server: killed, and full.

The log is JSON, so that its lines can be held against what they are to carry.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from app.broker import connect
from app.settings import Settings
from app.stack import Stack, running_stack
from tests.brokers import PASSWORD, PASSWORD_IN_URL, Broker, Certificates, await_answer, tls_program
from tests.media import write_wav
from tests.unit.signals import noise

pytestmark = pytest.mark.integration

# Those that docs/deployment.md names.
RIGHTS = "~* &* +@all -@dangerous +info"
NAMES = {"left": "violin", "right": "cello"}
Job = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("external")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Broker]:
    certificates = Certificates(folder / "certificates") if tls_program() else None
    users = f"user duetto on >{PASSWORD} {RIGHTS}\nuser default on >{PASSWORD} ~* &* +@all"
    lines = (users, "maxmemory-policy noeviction", "appendfsync always")
    with Broker(folder / "broker", *lines, certificates=certificates) as broker:
        yield broker


@pytest.fixture(scope="module")
def settings(folder: Path, server: Broker) -> Settings:
    files = {
        "redis_ca_file": folder / "certificates" / "ca.pem",
        "redis_cert_file": folder / "certificates" / "client.pem",
        "redis_key_file": folder / "certificates" / "client.key",
    }
    scheme = "rediss" if tls_program() else "redis"
    settings = Settings(
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        port=0,
        workers=1,
        separator="report",
        offline=True,
        log_format="json",
        redis_url=server.url(scheme, user="duetto", password=PASSWORD_IN_URL),
        **(files if tls_program() else {}),
    )
    with closing(connect(settings)) as client:
        await_answer(client)
    return settings


@pytest.fixture(scope="module")
def stack(settings: Settings) -> Iterator[Stack]:
    with running_stack(settings) as running:
        yield running


@pytest.fixture
def broker(stack: Stack) -> Iterator[redis.Redis]:
    """A client of the operator's, who may do anything."""
    url = str(stack.settings.redis_url).replace("duetto:", ":")
    with closing(connect(stack.settings.model_copy(update={"redis_url": url}))) as client:
        yield client


@pytest.fixture(scope="module")
def long_sound(folder: Path) -> Path:
    """Sound that takes a worker some seconds."""
    return write_wav(folder / "long.wav", noise(2, 20 * 96_000), 96_000, "PCM_16")


@pytest.fixture(scope="module")
def short_sound(folder: Path) -> Path:
    return write_wav(folder / "short.wav", noise(1, 9_000), 44_100)


def post(http: httpx.Client, sound: Path, **headers: str) -> httpx.Response:
    return http.post("/v1/jobs", files={"audio": (sound.name, sound.read_bytes())}, data=NAMES, headers=headers)


def until(condition: Callable[[], bool], patience_s: float = 120.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def look(http: httpx.Client, job_id: str) -> Job:
    answer = http.get(f"/v1/jobs/{job_id}")
    # While the broker is away the API says so; the job is there again afterwards.
    assert answer.status_code in (200, 503), answer.text
    document: Job = answer.json() if answer.status_code == 200 else {"state": None, "stage": None}
    return document


def ended(http: httpx.Client, job_id: str) -> Job:
    until(lambda: look(http, job_id)["state"] not in ("queued", "running", None))
    return look(http, job_id)


def test_a_restart_loses_nothing(
    http: httpx.Client, server: Broker, long_sound: Path, short_sound: Path, stack: Stack
) -> None:
    running = post(http, long_sound).json()["id"]
    until(lambda: look(http, running)["stage"] == "separate")
    waiting = [post(http, short_sound).json()["id"] for _ in range(3)]
    server.kill()
    assert post(http, short_sound).status_code == 503
    assert http.get("/readyz").json()["errors"][0]["field"] == "broker"
    assert http.get("/livez").status_code == 200
    assert "duetto_broker_up 0.0" in http.get("/metrics").text
    server.start()
    job = ended(http, running)
    assert (job["state"], job["attempts"]) == ("succeeded", 1), "the attempt lived on"
    for job_id in waiting:
        assert ended(http, job_id)["state"] == "succeeded"
    assert len(http.get("/v1/jobs").json()["jobs"]) == 4, "the one that was refused is not there"
    folders = {path.name for path in (stack.settings.data_dir / "jobs").iterdir()}
    assert folders == {running, *waiting}


def test_a_full_memory_refuses_and_recovers(
    http: httpx.Client, broker: redis.Redis, long_sound: Path, short_sound: Path, stack: Stack
) -> None:
    running = post(http, long_sound).json()["id"]
    until(lambda: look(http, running)["stage"] == "separate")
    waiting = post(http, short_sound).json()["id"]
    before = {path.name for path in (stack.settings.data_dir / "jobs").iterdir()}
    broker.config_set("maxmemory", "1")
    try:
        answer = post(http, short_sound)
        assert (answer.status_code, answer.json()["code"]) == (503, "broker_full")
        assert int(answer.headers["Retry-After"]) > 0
        # What runs ends while memory is still full.
        job = ended(http, running)
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
        assert {path.name for path in (stack.settings.data_dir / "jobs").iterdir()} == before
    finally:
        broker.config_set("maxmemory", "0")
    assert ended(http, waiting)["state"] == "succeeded"
    assert ended(http, post(http, short_sound).json()["id"])["state"] == "succeeded"


def test_the_log_tells_the_story_of_a_job(http: httpx.Client, short_sound: Path, stack: Stack) -> None:
    answer = post(http, short_sound, **{"X-Request-Id": "told-by-a-proxy"})
    job_id = answer.json()["id"]
    ended(http, job_id)

    def lines() -> list[dict[str, Any]]:
        text = (stack.settings.data_dir / "worker.log").read_text(encoding="utf-8")
        assert PASSWORD not in text
        assert PASSWORD_IN_URL not in text
        return [json.loads(line) for line in text.splitlines()]

    until(lambda: any("succeeded" in line["message"] and line.get("job_id") == job_id for line in lines()))
    for line in lines():
        assert {"time", "level", "logger", "message"} <= line.keys()
    mine = [line for line in lines() if line.get("job_id") == job_id]
    begins, succeeded = ([line for line in mine if word in line["message"]] for word in (" begins,", "succeeded"))
    assert begins[0]["request_id"] == succeeded[0]["request_id"] == "told-by-a-proxy"
    assert (begins[0]["attempt"], succeeded[0]["stage"]) == (1, "encode")
    assert any(line["logger"].startswith("celery") for line in mine), "Celery's own lines too"


def test_the_worker_is_in_the_metrics(http: httpx.Client, short_sound: Path) -> None:
    ended(http, post(http, short_sound).json()["id"])
    text = ""

    def told() -> bool:
        nonlocal text
        text = http.get("/metrics").text
        return 'duetto_stage_duration_seconds_count{stage="encode"}' in text

    until(told)
    assert "duetto_workers 1.0" in text
    assert 'duetto_worker_last_heartbeat_timestamp_seconds{worker="duetto-' in text
    for stage in ("probe", "separate", "encode"):
        assert f'duetto_stage_duration_seconds_count{{stage="{stage}"}}' in text
