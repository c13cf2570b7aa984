"""Polls and event streams before a long queue: ``python -m tests.bench.load [--jobs N] [--pollers N] [--streams N]``.

Each poller looks at its job once a second, as `Retry-After` asks for, and then at a route that does nothing, so that
both are timed in the same run, by the same client, through the same server and middleware. Meanwhile the queue moves,
so that every place in it changes and every stream has something to tell. No worker runs: jobs are begun and ended in
their records.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from app.broker import connect
from app.embedded import EmbeddedValkey
from app.jobs.record import Job, JobInput, JobOptions
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.settings import Settings
from tests.bench.api_process import BARE, ApiProcess, running_api
from tests.fuzz.service import resident_mib

POLL_EVERY_S = 1.0
MOVE_EVERY_S = 0.5  # a job begins and another ends: two workers and jobs of a second
WARM_UP_S = 2.0
LISTINGS = 50
JOB, PAGE, LARGE_PAGE = "/v1/jobs/{id}", "/v1/jobs", "/v1/jobs?limit=100&state=queued"

Times = dict[str, list[float]]


class Connection:
    """One connection to the server, kept open. Hand-made: a client library would cost more than the server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    async def get(self, path: str) -> float:
        """Get `path` and return the seconds that it took."""
        began = time.perf_counter()
        length = await self._ask(path)
        await self._reader.readexactly(length)
        return time.perf_counter() - began

    async def follow(self, path: str) -> AsyncIterator[bytes]:
        """Yield each line of a stream."""
        await self._ask(path)
        while line := await self._reader.readline():
            yield line

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def _ask(self, path: str) -> int:
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        assert head.startswith("http/1.1 200"), head
        _, _, rest = head.partition("content-length:")
        return int(rest.split("\r\n")[0]) if rest else 0


def fill(store: JobStore, count: int) -> list[str]:
    """Queue `count` jobs; return their ids, the next one first."""
    now = time.time() - count
    ids = [uuid.uuid4().hex for _ in range(count)]
    for place, job_id in enumerate(ids):
        job_input = JobInput(kind="video", title="duet.mp4", video="video.mp4")
        store.create(
            Job(id=job_id, state=JobState.QUEUED, created_at=now + place, options=JobOptions(), input=job_input)
        )
    return ids


async def move_queue(store: JobStore, ids: list[str]) -> None:
    """Begin the next job and end it, again and again."""
    for job_id in ids:
        await asyncio.to_thread(store.start, job_id)
        await asyncio.sleep(MOVE_EVERY_S)
        await asyncio.to_thread(store.succeed, job_id)


async def poll(url: str, job_id: str, until: float, times: Times, rng: random.Random) -> None:
    """Look at a job and at the bare route, once a second each, in a random order."""
    connection = Connection(url)
    await connection.open()
    await asyncio.sleep(rng.random() * POLL_EVERY_S)
    due = time.perf_counter()
    while time.perf_counter() < until:
        for name in rng.sample((JOB, BARE), 2):
            times[name].append(await connection.get(name.format(id=job_id)))
        due += POLL_EVERY_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    connection.close()


async def follow(url: str, job_id: str, counts: dict[str, int]) -> None:
    """Count the events of a job."""
    connection = Connection(url)
    await connection.open()
    async for line in connection.follow(f"/v1/jobs/{job_id}/events"):
        counts["events"] += line.startswith(b"event: job")


async def measure(api: ApiProcess, store: JobStore, ids: list[str], args: argparse.Namespace) -> None:
    """Run all of it and print the table."""
    times: Times = defaultdict(list)
    counts = {"events": 0}
    rng = random.Random(1)  # noqa: S311 - repeatable on purpose
    # The front moves away during the run; those who look have their jobs behind it.
    front = round(args.seconds / MOVE_EVERY_S) + 10
    watched = rng.sample(ids[front:], args.pollers + args.streams)
    mover = asyncio.create_task(move_queue(store, ids[:front]))
    streams = [asyncio.create_task(follow(api.url, job_id, counts)) for job_id in watched[args.pollers :]]
    await asyncio.sleep(WARM_UP_S)
    counts["events"] = 0
    until = time.perf_counter() + args.seconds
    began = time.perf_counter()
    await asyncio.gather(*(poll(api.url, job_id, until, times, rng) for job_id in watched[: args.pollers]))
    seconds = time.perf_counter() - began
    listing = Connection(api.url)
    await listing.open()
    for _ in range(LISTINGS):
        for path in (PAGE, LARGE_PAGE):
            times[path].append(await listing.get(path))
    listing.close()
    for task in (mover, *streams):
        task.cancel()
    await asyncio.gather(mover, *streams, return_exceptions=True)
    await asyncio.to_thread(time_places, store, ids, times)
    print_table(times, args)
    print(f"\n{counts['events'] / seconds:.0f} events a second in {args.streams} streams; ", end="")
    print(f"the web process has {resident_mib(api.pid):.0f} MiB resident")


def time_places(store: JobStore, ids: list[str], times: Times) -> None:
    """Time the places of jobs in the queue, without HTTP: 100 at once, as a page asks for them."""
    for _ in range(LISTINGS):
        began = time.perf_counter()
        store.queue_positions(ids[-100:])
        times["100 places in the queue, without HTTP"].append(time.perf_counter() - began)


def print_table(times: Times, args: argparse.Namespace) -> None:
    """Print p50 and p99 of each route."""
    print(f"| {args.jobs:,} queued, {args.pollers} pollers, {args.streams} streams | requests | p50 ms | p99 ms |")
    print("|---|---|---|---|")
    for name in (JOB, BARE, PAGE, LARGE_PAGE, *(set(times) - {JOB, BARE, PAGE, LARGE_PAGE})):
        p50, p99 = np.percentile(times[name], (50, 99)) * 1000
        label = "a bare route of the same server" if name == BARE else f"`GET {name}`" if name[0] == "/" else name
        print(f"| {label} | {len(times[name]):,} | {p50:.1f} | {p99:.1f} |")


def main() -> int:
    """Run; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--pollers", type=int, default=100)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="duetto-load-") as folder, contextlib.ExitStack() as stack:
        data = Path(folder)
        broker = stack.enter_context(EmbeddedValkey(data))
        settings = Settings(data_dir=data, cache_dir=data / "cache", redis_url=broker.url, log_level="warning")
        client = stack.enter_context(contextlib.closing(connect(settings)))
        store = JobStore(client)
        ids = fill(store, args.jobs)
        api = stack.enter_context(running_api(settings))
        asyncio.run(measure(api, store, ids, args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
