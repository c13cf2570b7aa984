"""The whole service with its files in a bucket: real worker, real queue, real S3 server."""

from __future__ import annotations

import io
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from app.settings import Settings
from app.stack import Stack, running_stack
from tests.integration.test_serve import descendants
from tests.media import write_wav
from tests.s3_server import S3Server
from tests.unit.signals import noise

pytestmark = pytest.mark.integration

Job = dict[str, Any]
NAMES = {"left": "violin", "right": "cello"}
TTL_S = 5.0


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as running:
        yield running


@pytest.fixture(scope="module")
def settings(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("service")
    return server.settings(
        server.make_bucket(), folder / "data", cache_dir=folder / "cache", port=0, offline=True, redis_url=None
    )


@pytest.fixture(scope="module")
def stack(settings: Settings) -> Iterator[Stack]:
    with running_stack(settings) as running:
        yield running


def post(http: httpx.Client, sound: Path) -> str:
    answer = http.post("/v1/jobs", files={"audio": (sound.name, sound.read_bytes())}, data=NAMES)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def until(condition: Callable[[], bool], patience_s: float = 240.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def look(http: httpx.Client, job_id: str) -> Job:
    job: Job = http.get(f"/v1/jobs/{job_id}").json()
    return job


def ended(http: httpx.Client, job_id: str) -> Job:
    until(lambda: look(http, job_id)["state"] not in ("queued", "running"))
    return look(http, job_id)


def local_files(settings: Settings) -> list[Path]:
    """What lies in the data folder, but for the broker's and the processes' own."""
    folders = (settings.data_dir / name for name in ("jobs", "trash", "scratch"))
    return [path for folder in folders for path in folder.rglob("*")]


def test_from_upload_to_an_empty_bucket(
    server: S3Server, settings: Settings, http: httpx.Client, tmp_path: Path
) -> None:
    assert http.get("/readyz").status_code == 200
    # More than a block of the bucket, as an upload and as a stem.
    sound = write_wav(tmp_path / "duet.wav", noise(2, 12 * 96_000), 96_000, "FLOAT")
    job_id = post(http, sound)
    job = ended(http, job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 1)
    wholes = {side: http.get(job["links"][side]) for side in NAMES}
    stems = [soundfile.read(io.BytesIO(whole.content), dtype="float32")[0] for whole in wholes.values()]
    assert np.abs(sum(stems) - soundfile.read(sound, dtype="float32")[0]).max() < 1e-4
    size, tag = len(wholes["left"].content), wholes["left"].headers["ETag"]
    part = http.get(job["links"]["left"], headers={"Range": f"bytes={size - 5_000_000}-", "If-Range": tag})
    assert (part.status_code, part.content) == (206, wholes["left"].content[-5_000_000:])
    pictures = http.get(job["links"]["result"]).json()["pictures"]
    assert [picture["name"] for picture in pictures] == ["mix", "left", "right"]
    for picture in pictures:
        assert http.get(f"/v1/jobs/{job_id}/{picture['url']}").content.startswith(b"\x89PNG")
    with zipfile.ZipFile(io.BytesIO(http.get(job["links"]["stems"]).content)) as archive:
        assert archive.testzip() is None
        assert archive.read("right.wav") == wholes["right"].content
    until(lambda: local_files(settings) == [])
    assert {key.split("/")[1] for key in server.keys(settings)} == {job_id}
    assert http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert server.keys(settings) == []
    assert server.unfinished(settings) == 0


def test_a_killed_child_does_not_lose_its_job(
    server: S3Server, settings: Settings, stack: Stack, http: httpx.Client, tmp_path: Path
) -> None:
    """The parent has looked at the bucket by then; the child that it forks must be able to use it all the same."""
    parent = stack.worker_pid
    job_id = post(http, write_wav(tmp_path / "long.wav", noise(2, 25 * 96_000), 96_000, "PCM_16"))
    until(lambda: look(http, job_id)["stage"] == "separate")
    for child in descendants(parent):
        os.kill(child, signal.SIGKILL)
    job = ended(http, job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    assert stack.worker_pid == parent
    until(lambda: local_files(settings) == [])
    until(lambda: len({key.split("/")[3] for key in server.keys(settings) if "/attempts/" in key}) == 1)
    http.delete(f"/v1/jobs/{job_id}")
    assert server.keys(settings) == []


def test_a_running_job_is_deleted(server: S3Server, settings: Settings, http: httpx.Client, tmp_path: Path) -> None:
    job_id = post(http, write_wav(tmp_path / "long.wav", noise(2, 25 * 96_000), 96_000, "PCM_16"))
    until(lambda: look(http, job_id)["stage"] == "separate")
    assert http.delete(f"/v1/jobs/{job_id}").status_code == 204
    # The worker is free again, so it has noticed.
    short = post(http, write_wav(tmp_path / "short.wav", noise(1, 9_000), 44_100))
    assert ended(http, short)["state"] == "succeeded"
    http.delete(f"/v1/jobs/{short}")
    until(lambda: local_files(settings) == [])
    assert server.keys(settings) == []


def test_a_job_goes_with_its_time(server: S3Server, tmp_path: Path) -> None:
    settings = server.settings(
        server.make_bucket(), tmp_path / "data", cache_dir=tmp_path / "cache", port=0, offline=True, redis_url=None,
        job_ttl_s=TTL_S,
    )  # fmt: skip
    with running_stack(settings) as stack, httpx.Client(base_url=stack.url, timeout=60.0, trust_env=False) as http:
        job_id = post(http, write_wav(tmp_path / "short.wav", noise(1, 9_000), 44_100))
        until(lambda: look(http, job_id)["state"] == "expired")
        assert http.get(f"/v1/jobs/{job_id}/stems/left.wav").status_code == 410
        until(lambda: server.keys(settings) == [])
        until(lambda: http.get(f"/v1/jobs/{job_id}").status_code == 404)
    assert local_files(settings) == []
    assert server.secret not in (settings.data_dir / "worker.log").read_text()
