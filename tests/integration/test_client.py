"""Both clients against the whole service: a real worker, real stems, a server that restarts, a line that breaks."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

import duetto
from app.stack import Stack
from tests.both_clients import both_clients
from tests.integration.test_jobs import EXAMPLE, bad, long_wav, until
from tests.media import write_wav
from tests.relay import BreakingLine
from tests.serving import serving
from tests.unit.signals import noise

pytestmark = pytest.mark.integration

SIDES = {"left": "violin", "right": "cello"}


@both_clients
def test_a_video_becomes_labels_and_two_stems(
    make_client: Callable[..., Any], stack: Stack, http: httpx.Client, tmp_path: Path
) -> None:
    told: list[duetto.Progress] = []
    with make_client(stack.url) as client:
        duet = client.separate(EXAMPLE.video, output=tmp_path / "stems", on_progress=told.append)
    assert (duet.left.instrument, duet.right.instrument) == ("trumpet", "acoustic_guitar")
    assert (duet.left.source, duet.right.source) == ("tagger", "tagger")
    assert 0.3 < (duet.left.probability or 0.0) <= 1.0
    links = duet.job.document["links"]
    for stem in (duet.left, duet.right):
        assert stem.path.read_bytes() == http.get(links[stem.side]).content
        samples, rate = stem.read()
        heard, its_rate = soundfile.read(stem.path, dtype="float32", always_2d=True)
        assert rate == its_rate
        assert np.array_equal(samples, heard.T)
    assert json.loads((tmp_path / "stems" / "result.json").read_text()) == http.get(links["result"]).json()
    stages = list(dict.fromkeys(progress.stage for progress in told))
    assert (stages[0], stages[-1]) == ("upload", "download")
    assert "separate" in stages
    of_job = [progress.fraction for progress in told if progress.stage not in ("upload", "download")]
    assert of_job == sorted(of_job)


@both_clients
def test_what_cannot_be_separated_says_why(make_client: Callable[..., Any], stack: Stack, tmp_path: Path) -> None:
    with make_client(stack.url) as client:
        with pytest.raises(duetto.JobFailed) as caught:
            client.separate(bad(tmp_path, "no_audio")["video"])
        assert caught.value.failure.code == "no_audio"
        assert not caught.value.failure.retryable
        (tmp_path / "notes.mp4").write_text("no video at all\n" * 100)
        with pytest.raises(duetto.UnsupportedMedia, match=r"notes\.mp4"):
            client.separate(tmp_path / "notes.mp4")


@both_clients
def test_a_running_job_is_canceled_and_deleted(make_client: Callable[..., Any], stack: Stack, tmp_path: Path) -> None:
    with make_client(stack.url) as client:
        job = client.submit(audio=long_wav(tmp_path), **SIDES)
        for now in client.events(job):
            if now.stage == "separate" and not now.document["cancel_requested"]:
                client.cancel(job)
        assert now.state == "canceled"
        with pytest.raises(duetto.JobCanceled):
            client.wait(job)
        client.delete(job)
        assert job.id not in {known.id for known in client.jobs()}
    until(lambda: not (stack.settings.data_dir / "jobs" / job.id).exists())


@both_clients
def test_the_server_restarts_while_a_job_is_waited_for(
    make_client: Callable[..., Any], stack: Stack, tmp_path: Path
) -> None:
    runs = threading.Event()
    duets: list[duetto.Separation] = []
    sound = write_wav(tmp_path / "longer.wav", noise(2, 20 * 96_000), 96_000, "PCM_16")

    def watch(now: duetto.Progress) -> None:
        if now.stage == "separate":
            runs.set()

    with serving(stack.settings) as port:
        client = make_client(f"http://127.0.0.1:{port}")
        separate = partial(client.separate, audio=sound, **SIDES, output=tmp_path / "stems", on_progress=watch)
        waiting = threading.Thread(target=lambda: duets.append(separate()))
        waiting.start()
        assert runs.wait(120.0)
    with serving(stack.settings, port), client:
        waiting.join()
    (duet,) = duets
    total = sum(stem.read()[0] for stem in (duet.left, duet.right))
    assert np.abs(total - soundfile.read(sound, dtype="float32")[0].T).max() < 1e-4


@both_clients
def test_a_line_that_breaks_brings_the_same_bytes(
    make_client: Callable[..., Any], stack: Stack, http: httpx.Client, tmp_path: Path
) -> None:
    sound = write_wav(tmp_path / "duo.wav", noise(2, 200_000), 44_100)
    with make_client(stack.url) as client:
        job = client.wait(client.submit(audio=sound, **SIDES))
    with BreakingLine(stack.url, cuts=[300_000, 300_000, 0, 300_000]) as line, make_client(line.url) as client:
        duet = client.fetch(job, tmp_path / "stems")
        assert line.cuts == []
    for side, path in duet.files.items():
        assert path.read_bytes() == http.get(job.document["links"][side]).content


# Prints the most bytes that were held at once, beyond what is there before, while a file came and went.
HOLDS = """
import asyncio, sys, tracemalloc
import duetto

url, upload, key, kind = sys.argv[1:]

def blocking():
    with duetto.Client(url) as client:
        client.submit(upload, idempotency_key=key)

async def waiting():
    async with duetto.AsyncClient(url) as client:
        await client.submit(upload, idempotency_key=key)

run = blocking if kind == "blocking" else lambda: asyncio.run(waiting())
run()
tracemalloc.start()
run()
print(tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_an_upload_is_never_held_in_memory(stack: Stack, tmp_path: Path, kind: str) -> None:
    upload = tmp_path / "large.mp4"
    upload.write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2")
    with upload.open("r+b") as file:
        file.truncate(30 << 20)
    done = subprocess.run(
        [sys.executable, "-c", HOLDS, stack.url, upload, f"large-{kind}", kind],
        check=True, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert int(done.stdout) < 4 << 20
