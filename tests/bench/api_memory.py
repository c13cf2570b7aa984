"""What the web process holds in memory over thousands of jobs: ``python -m tests.bench.api_memory [--jobs N]``.

Each job is posted with 54 KB of sound, followed by its event stream to its end, asked for by a long poll, downloaded
and deleted, eight at a time. No worker runs: jobs are begun, moved on, published and ended from here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import redis
import soundfile

from app.broker import connect
from app.embedded import EmbeddedValkey
from app.jobs.states import Stage
from app.jobs.store import JobStore
from app.queue import QUEUES
from app.settings import Settings
from app.storage import open_storage
from app.storage.protocol import Storage
from tests.bench.api_process import running_api
from tests.fuzz.service import resident_mib

JOBS: Final = 3000
SHOWN_EVERY: Final = 250
CLIENTS: Final = 8
RATE_HZ: Final = 16_000
SOUND_S: Final = 1.7


class Load:
    """The client of all these jobs, and the worker of them."""

    def __init__(self, http: httpx.AsyncClient, client: redis.Redis, storage: Storage) -> None:
        self._http = http
        self._redis = client
        self._store = JobStore(client)
        self._storage = storage
        buffer = io.BytesIO()
        noise = np.random.default_rng(1).uniform(-0.5, 0.5, round(SOUND_S * RATE_HZ))
        soundfile.write(buffer, noise, RATE_HZ, subtype="PCM_16", format="WAV")
        self._sound = buffer.getvalue()

    async def run(self, jobs: int) -> None:
        """Do so many jobs."""
        left = iter(range(jobs))

        async def client() -> None:
            for _ in left:
                await self._job()

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(client())
        # No worker takes the messages.
        await asyncio.to_thread(self._redis.delete, *QUEUES)

    async def _job(self) -> None:
        options = {"left": "violin", "right": "cello"}
        answer = await self._http.post("/v1/jobs", files={"audio": ("duet.wav", self._sound)}, data=options)
        assert answer.status_code == 202, answer.text
        path = answer.headers["location"]
        work = asyncio.create_task(asyncio.to_thread(self._work, answer.json()["id"]))
        async with self._http.stream("GET", f"{path}/events") as events:
            states = [line async for line in events.aiter_lines() if '"state":"succeeded"' in line]
        assert states
        await work
        for what in ("?wait=5", "/stems/left.wav", "/stems/right.wav", "/result"):
            answer = await self._http.get(path + what)
            assert answer.status_code == 200, answer.text
        assert (await self._http.delete(path)).status_code == 204

    def _work(self, job_id: str) -> None:
        self._store.start(job_id)
        for stage in Stage:
            self._store.progress(job_id, stage, 0.5)
        with self._storage.scratch(job_id) as scratch:
            for name in ("left.wav", "right.wav"):
                (scratch / name).write_bytes(self._sound)
            (scratch / "result.json").write_text("{}", encoding="utf-8")
            self._storage.publish(job_id, scratch)
        self._store.succeed(job_id)


async def measure(url: str, pid: int, settings: Settings, client: redis.Redis, jobs: int) -> None:
    """Do the jobs and print what the web process holds."""
    async with httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as http:
        load = Load(http, client, open_storage(settings))
        began = time.monotonic()
        print(f"{'jobs':>6}{'MiB':>8}{'s':>7}\n{0:>6}{resident_mib(pid):>8.1f}{0:>7}", flush=True)
        for done, until in itertools.pairwise((*range(0, jobs, SHOWN_EVERY), jobs)):
            await load.run(until - done)
            print(f"{until:>6}{resident_mib(pid):>8.1f}{time.monotonic() - began:>7.0f}", flush=True)


def main() -> int:
    """Run; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.api_memory", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"how many (default: {JOBS})")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="duetto-memory-") as folder, contextlib.ExitStack() as stack:
        data = Path(folder)
        broker = stack.enter_context(EmbeddedValkey(data))
        settings = Settings(
            data_dir=data, cache_dir=data / "cache", redis_url=broker.url, log_level="warning", max_queued_per_client=0
        )
        client = stack.enter_context(contextlib.closing(connect(settings)))
        api = stack.enter_context(running_api(settings))
        asyncio.run(measure(api.url, api.pid, settings, client, args.jobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
