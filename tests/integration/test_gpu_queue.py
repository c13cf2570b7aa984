"""Jobs for GPU workers wait in a queue of their own: for the workers that take from it, and for no other."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from app.broker import connect
from app.embedded import EmbeddedValkey
from app.main import create_app
from app.queue import GPU_QUEUE_NAME, QUEUE_NAME
from app.settings import Settings
from app.stack import ROOT_WARNING_FILTER, WORKER_APP, running_stack, worker_environment
from app.supervisor import Child
from tests.conftest import ServedApp
from tests.media import write_wav
from tests.unit.signals import noise

pytestmark = pytest.mark.integration

NAMES = {"left": "violin", "right": "cello"}
ORDINARY, GPU = "nmf", "report"
PATIENCE_S = 120.0
TRIES = 10


def settings_in(folder: Path, **more: Any) -> Settings:
    return Settings(
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        port=0,
        workers=1,
        threads=1,
        offline=True,
        redis_url=None,
        gpu_jobs=GPU,
        **more,
    )


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "short.wav", noise(1, 9_000), 44_100)


class Jobs:
    """Posts jobs and looks at them."""

    def __init__(self, http: httpx.Client, sound: Path) -> None:
        self._http = http
        self._sound = sound

    def post(self, separator: str) -> str:
        files = {"audio": (self._sound.name, self._sound.read_bytes())}
        answer = self._http.post("/v1/jobs", files=files, data=NAMES | {"separator": separator})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def look(self, job_id: str, **wait: int) -> dict[str, Any]:
        job: dict[str, Any] = self._http.get(f"/v1/jobs/{job_id}", params=wait).json()
        return job

    def succeeded(self, job_id: str) -> dict[str, Any]:
        for _ in range(TRIES):
            job = self.look(job_id, wait=30)
            if job["state"] not in ("queued", "running"):
                break
        assert (job["state"], job["attempts"]) == ("succeeded", 1), job
        return job


@contextmanager
def worker(settings: Settings, *options: str) -> Iterator[None]:
    """A worker as docs/deployment.md has operators start it, stopped in good order."""
    folder = settings.data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-P", "-W", ROOT_WARNING_FILTER, "-m", "celery", "--quiet", "-A", WORKER_APP, "worker",
        "--without-gossip", "--without-mingle", *options,
    ]  # fmt: skip
    # Under a guardian: it goes with this process, however that ends.
    child = Child(command, env=worker_environment(settings), cwd=folder, grace_s=PATIENCE_S)
    try:
        yield
        child.request_stop()
        assert child.wait(PATIENCE_S) == 0
    finally:
        child.kill()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def test_one_machine_needs_nothing(tmp_path: Path, sound: Path) -> None:
    with (
        running_stack(settings_in(tmp_path)) as stack,
        httpx.Client(base_url=stack.url, timeout=60.0, trust_env=False) as http,
        closing(connect(stack.settings)) as broker,
    ):
        jobs = Jobs(http, sound)
        gpu, ordinary = jobs.post(GPU), jobs.post(ORDINARY)
        assert broker.hget(f"duetto:job:{gpu}", "queue") == GPU_QUEUE_NAME
        assert broker.hget(f"duetto:job:{ordinary}", "queue") == QUEUE_NAME
        jobs.succeeded(gpu)
        jobs.succeeded(ordinary)
        assert http.get(f"/v1/jobs/{gpu}/result").json()["separator"] == GPU


def test_a_job_waits_for_a_worker_of_its_queue(tmp_path: Path, sound: Path) -> None:
    with EmbeddedValkey(tmp_path / "broker") as server:
        settings = settings_in(tmp_path).model_copy(update={"redis_url": server.url})
        with (
            ServedApp(create_app(settings)) as url,
            httpx.Client(base_url=url, timeout=60.0, trust_env=False) as http,
            closing(connect(settings)) as broker,
        ):
            jobs = Jobs(http, sound)
            gpu = jobs.post(GPU)
            with worker(settings, "--queues", QUEUE_NAME):
                jobs.succeeded(jobs.post(ORDINARY))
                assert jobs.look(gpu)["state"] == "queued"
                assert broker.llen(GPU_QUEUE_NAME) == 1
            later = jobs.post(ORDINARY)
            second = jobs.post(GPU)
            # A worker that is not told where to take from takes from both, and what only it can do first.
            with worker(settings):
                started = {job_id: jobs.succeeded(job_id)["started_at"] for job_id in (gpu, second, later)}
            assert started[gpu] < started[second] < started[later]
            until(lambda: not broker.exists("unacked", "unacked_index"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_worker_without_its_gpu_does_not_start(tmp_path: Path, sound: Path) -> None:
    with EmbeddedValkey(tmp_path / "broker") as server:
        settings = settings_in(tmp_path, device="cuda").model_copy(update={"redis_url": server.url})
        with (
            ServedApp(create_app(settings)) as url,
            httpx.Client(base_url=url, timeout=60.0, trust_env=False) as http,
        ):
            jobs = Jobs(http, sound)
            gpu = jobs.post(GPU)
            command = [sys.executable, "-P", "-m", "celery", "--quiet", "-A", WORKER_APP, "worker"]
            done = subprocess.run(
                command, env=worker_environment(settings) | {"PYTHONWARNINGS": ROOT_WARNING_FILTER}, cwd=tmp_path,
                capture_output=True, text=True, check=False, timeout=PATIENCE_S,
            )  # fmt: skip
            assert done.returncode == 1
            assert "this worker does not start: DUETTO_DEVICE is cuda, and there is none" in done.stderr
            assert "Traceback" not in done.stderr
            assert jobs.look(gpu)["state"] == "queued", "it is not this worker's to fail"
