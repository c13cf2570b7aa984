"""No job is lost: whatever is killed, each job ends, once, as it would have ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis
import soundfile

from app.broker import connect
from app.jobs.lease import LOST_AFTER_S
from app.queue import QUEUE_NAME
from app.settings import Settings
from app.stack import Stack, running_stack
from tests.chaos.processes import children
from tests.integration.test_serve import descendants
from tests.media import write_wav
from tests.unit.signals import noise

pytestmark = pytest.mark.integration

Job = dict[str, Any]
NAMES = {"left": "violin", "right": "cello"}
DATA_FOLDERS = {"upload", "artifacts"}


def settings_in(folder: Path, workers: int = 1, **more: Any) -> Settings:
    return Settings(
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        port=0,
        workers=workers,
        separator="report",
        offline=True,
        redis_url=None,
        **more,
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service of this module's own: its processes are killed."""
    with running_stack(settings_in(tmp_path_factory.mktemp("recovery"))) as running:
        yield running


@pytest.fixture
def broker(stack: Stack) -> Iterator[redis.Redis]:
    with closing(connect(stack.settings)) as client:
        yield client


@pytest.fixture(scope="module")
def long_sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound that takes a worker some seconds."""
    return write_wav(tmp_path_factory.mktemp("sound") / "long.wav", noise(2, 50 * 96_000), 96_000, "PCM_16")


@pytest.fixture(scope="module")
def short_sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("sound") / "short.wav", noise(1, 9_000), 44_100)


def post(http: httpx.Client, sound: Path) -> str:
    answer = http.post("/v1/jobs", files={"audio": (sound.name, sound.read_bytes())}, data=NAMES)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def look(http: httpx.Client, job_id: str) -> Job:
    answer = http.get(f"/v1/jobs/{job_id}")
    # While the broker restarts the API says so; the job is there again afterwards.
    assert answer.status_code in (200, 503), answer.text
    document: Job = answer.json() if answer.status_code == 200 else {"state": None, "stage": None, "attempts": 0}
    return document


def until(condition: Callable[[], bool], patience_s: float = 120.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def ended(http: httpx.Client, job_id: str) -> Job:
    until(lambda: look(http, job_id)["state"] not in ("queued", "running", None))
    return look(http, job_id)


def check_whole(stack: Stack, job_id: str, sound: Path) -> None:
    """Both stems are there, whole, and nothing else."""
    folder = stack.settings.data_dir / "jobs" / job_id
    until(lambda: {path.name for path in folder.iterdir()} == DATA_FOLDERS)
    left, right = (soundfile.read(folder / "artifacts" / f"{side}.wav", dtype="float32")[0] for side in NAMES)
    assert np.abs(left + right - soundfile.read(sound, dtype="float32")[0]).max() < 1e-4


def separating(http: httpx.Client, job_id: str) -> bool:
    job = look(http, job_id)
    assert job["state"] in ("queued", "running", None), job
    return bool(job["stage"] == "separate")


def broker_pid(stack: Stack) -> int:
    folder = stack.settings.data_dir / "valkey"
    for pid in descendants(os.getpid()):
        process = Path(f"/proc/{pid}")
        # Its guardian works in the same folder.
        if (process / "comm").read_text().startswith("valkey") and (process / "cwd").readlink() == folder:
            return pid
    raise AssertionError("no broker runs")


def test_a_job_survives_its_whole_worker(stack: Stack, http: httpx.Client, long_sound: Path) -> None:
    job_id = post(http, long_sound)
    until(lambda: separating(http, job_id))
    killed = stack.worker_pid
    os.kill(killed, signal.SIGKILL)  # its guardian takes the children along
    until(lambda: stack.worker_pid != killed)
    # Celery itself would hand it out again after the visibility timeout, which is hours.
    until(lambda: look(http, job_id)["attempts"] == 2)
    job = ended(http, job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    check_whole(stack, job_id, long_sound)


def test_a_worker_that_stalls(tmp_path: Path, long_sound: Path, short_sound: Path) -> None:
    with (
        running_stack(settings_in(tmp_path, workers=2)) as stack,
        httpx.Client(base_url=stack.url, timeout=60.0, trust_env=False) as http,
        closing(connect(stack.settings)) as broker,
    ):
        job_id = post(http, long_sound)
        until(lambda: separating(http, job_id))
        stalled = int(str(broker.hget(f"duetto:job:{job_id}", "worker")).rpartition(":")[2])
        # Starved for a while, as by others on its machine, it keeps its job.
        os.kill(stalled, signal.SIGSTOP)
        time.sleep(LOST_AFTER_S / 2)
        assert broker.hexists(f"duetto:job:{job_id}", "heartbeat_at")
        os.kill(stalled, signal.SIGCONT)
        beat = broker.hget(f"duetto:job:{job_id}", "heartbeat_at")
        until(lambda: broker.hget(f"duetto:job:{job_id}", "heartbeat_at") != beat)
        assert look(http, job_id)["attempts"] == 1
        # For longer, it loses it; and both have it in hand when it comes back.
        os.kill(stalled, signal.SIGSTOP)
        until(lambda: look(http, job_id)["attempts"] == 2 and separating(http, job_id))
        os.kill(stalled, signal.SIGCONT)
        job = ended(http, job_id)
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        check_whole(stack, job_id, long_sound)
        # The one that stalled takes jobs again, and nothing that it had is sent a third time.
        assert [ended(http, post(http, short_sound))["attempts"] for _ in range(4)] == [1] * 4
        assert look(http, job_id) == job
        assert Path(f"/proc/{stalled}").exists()


def test_a_job_survives_a_deploy(stack: Stack, http: httpx.Client, tmp_path: Path) -> None:
    # Longer than a stopping worker waits for its jobs.
    job_id = post(http, write_wav(tmp_path / "longer.wav", noise(2, 300 * 96_000), 96_000, "PCM_16"))
    until(lambda: separating(http, job_id))
    stopped = stack.worker_pid
    log = stack.settings.data_dir / "worker.log"
    before = log.read_text().count("it is sent again")
    os.kill(stopped, signal.SIGTERM)
    until(lambda: look(http, job_id)["attempts"] == 2)
    assert stack.worker_pid != stopped
    assert log.read_text().count("it is sent again") == before, "the message was handed back, nobody missed it first"
    http.post(f"/v1/jobs/{job_id}/cancel")
    assert ended(http, job_id)["state"] == "canceled"


def test_a_job_survives_its_message(
    stack: Stack, http: httpx.Client, broker: redis.Redis, long_sound: Path, short_sound: Path
) -> None:
    running = post(http, long_sound)
    until(lambda: look(http, running)["state"] == "running")
    waiting = post(http, short_sound)
    assert broker.delete(QUEUE_NAME) == 1
    job = ended(http, waiting)
    assert (job["state"], job["attempts"]) == ("succeeded", 1)
    assert ended(http, running)["attempts"] == 1
    check_whole(stack, waiting, short_sound)


def test_a_job_survives_the_broker(stack: Stack, http: httpx.Client, long_sound: Path, short_sound: Path) -> None:
    job_id = post(http, long_sound)
    until(lambda: separating(http, job_id))
    waiting = post(http, short_sound)
    killed = broker_pid(stack)
    os.kill(killed, signal.SIGKILL)
    job = ended(http, job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 1), "the attempt lived on"
    check_whole(stack, job_id, long_sound)
    assert ended(http, waiting)["state"] == "succeeded"


def test_a_child_is_born_with_the_libraries(stack: Stack) -> None:
    [old] = children(stack.worker_pid)
    os.kill(old, signal.SIGKILL)
    until(lambda: children(stack.worker_pid) not in ([old], []))
    [new] = children(stack.worker_pid)
    # Before its first job, which so need not wait for them.
    assert "libtorch" in Path(f"/proc/{new}/maps").read_text()


@pytest.fixture
def no_upkeep(broker: redis.Redis) -> Iterator[None]:
    """Without the reconciler: it believes that another worker's acts."""
    broker.set("duetto:upkeep", "another")
    yield
    broker.delete("duetto:upkeep")


def test_a_job_that_kills_its_worker_again_and_again(
    stack: Stack, http: httpx.Client, long_sound: Path, short_sound: Path, no_upkeep: None
) -> None:
    parent = stack.worker_pid
    job_id = post(http, long_sound)
    for attempt in (1, 2, 3):
        until(lambda attempt=attempt: look(http, job_id)["attempts"] == attempt and separating(http, job_id))
        for child in descendants(parent):
            os.kill(child, signal.SIGKILL)
    job = ended(http, job_id)
    assert (job["state"], job["attempts"]) == ("failed", 3)
    assert job["error"]["code"] == "worker_lost"
    assert "convert the recording" in job["error"]["message"]
    folder = stack.settings.data_dir / "jobs" / job_id
    until(lambda: [path.name for path in folder.iterdir()] == ["upload"])
    assert ended(http, post(http, short_sound))["state"] == "succeeded"
    assert stack.worker_pid == parent


def test_a_job_goes_with_its_time(tmp_path: Path, short_sound: Path) -> None:
    with (
        running_stack(settings_in(tmp_path, job_ttl_s=4.0)) as stack,
        httpx.Client(base_url=stack.url, timeout=60.0, trust_env=False) as http,
        closing(connect(stack.settings)) as broker,
    ):
        job_id = post(http, short_sound)
        until(lambda: look(http, job_id)["state"] == "expired")
        assert http.get(f"/v1/jobs/{job_id}/stems/left.wav").status_code == 410
        until(lambda: http.get(f"/v1/jobs/{job_id}").status_code == 404)
        assert list((stack.settings.data_dir / "jobs").iterdir()) == []
        until(lambda: not list((stack.settings.data_dir / "trash").iterdir()))
        assert broker.keys("duetto:job*") == []
        assert broker.keys(f"*{job_id}*") == []
        assert job_id not in str(broker.hgetall("unacked"))
