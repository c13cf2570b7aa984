"""1,000 short jobs through two workers: ``python -m tests.bench.thousand_jobs [--jobs N]``.

Prints jobs a second, what each process holds in memory as the jobs go by, what a job costs in Redis and on disk, and
whether anything is left when all have expired; exit code 1 if so, or if a job failed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.chaos.checks import check_messages, keys_left
from tests.chaos.clips import Clip, make_clips
from tests.chaos.processes import Memory, children, memory, tree
from tests.chaos.service import WORKERS, Service
from tests.chaos.traffic import Traffic

JOBS: Final = 1000
CLIENTS: Final = 16
SEED: Final = 0
# Clips of each kind for each worker, so that every model is loaded before the first measurement.
_WARM_UP: Final = 6
_TTL_S: Final = 5.0
_EXPIRED_AFTER_S: Final = 600.0
_STEP_S: Final = 0.5
_KIB: Final = 1024
_HEAD: Final = ("api", "broker", "parent 1", "child 1", "parent 2", "child 2")


def main() -> int:
    """Run and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.thousand_jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"how many (default: {JOBS})")
    jobs: int = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as name, Service(Path(name)) as service:
        clips = make_clips(Path(name), SEED)
        return asyncio.run(_run(service, clips, jobs))


async def _run(service: Service, clips: list[Clip], jobs: int) -> int:
    async with Traffic(service.url, clips, SEED) as traffic:
        await _post_all(traffic, [clip for clip in clips for _ in range(_WARM_UP * WORKERS)])
        warm = len(traffic.jobs)
        redis_before, disk_before = _redis_bytes(service), _disk_bytes(service)
        print(f"{'jobs':>6}{'jobs/s':>8}   MiB, resident (share): " + "".join(f"{name:>15}" for name in _HEAD))
        _show(service, 0, 0.0)
        began = time.perf_counter()
        quarters = [jobs * part // 4 for part in range(5)]
        for done, until in itertools.pairwise(quarters):
            await _post_all(traffic, [clips[number % len(clips)] for number in range(done, until)])
            _show(service, until, until / (time.perf_counter() - began))
        redis_bytes, disk_bytes = _redis_bytes(service) - redis_before, _disk_bytes(service) - disk_before
        uploaded = sum(len(content) for job in traffic.jobs[warm:] for _, _, content in job.clip.files)
        print(
            f"a job: {redis_bytes / jobs / _KIB:.1f} KiB in Redis, {disk_bytes / jobs / _KIB:.0f} KiB of files, "
            f"of which {uploaded / jobs / _KIB:.0f} KiB were uploaded; the append-only file has "
            f"{_bytes_in(service.settings.data_dir / 'valkey') / len(traffic.jobs) / _KIB:.1f} KiB a job"
        )
        failed = [job.id for job in traffic.jobs if not job.last or job.last.job["state"] != "succeeded"]
        if failed:
            traffic.faults.append(f"{len(failed)} of {len(traffic.jobs)} jobs did not succeed, such as {failed[0]}")
        await _expire(service, traffic)
    for fault in traffic.faults:
        print(f"FAULT  {fault}")
    print("nothing failed, nothing is left" if not traffic.faults else f"{len(traffic.faults)} faults")
    return 1 if traffic.faults else 0


async def _post_all(traffic: Traffic, clips: list[Clip]) -> None:
    """Post and follow all, so many at a time."""
    slots = asyncio.Semaphore(CLIENTS)

    async def run(clip: Clip) -> None:
        async with slots:
            await traffic.run(clip)

    async with asyncio.TaskGroup() as group:
        for clip in clips:
            group.create_task(run(clip))


async def _expire(service: Service, traffic: Traffic) -> None:
    """Give the jobs a short life after all, and wait until nothing of them is left."""
    began = time.perf_counter()
    for number in range(WORKERS):
        await asyncio.to_thread(service.stop_worker, number)
    service.settings = service.settings.model_copy(update={"job_ttl_s": _TTL_S})
    for number in range(WORKERS):
        await asyncio.to_thread(service.start_worker, number)
    data = service.settings.data_dir
    folders = (data / "jobs", data / "trash")
    while time.perf_counter() - began < _EXPIRED_AFTER_S:
        # `os.walk` takes it that folders vanish meanwhile.
        files = sum(len(names) for folder in folders for _, *lists in os.walk(folder) for names in lists)
        if not files and not keys_left(service):
            print(
                f"all expired and gone {time.perf_counter() - began:.0f} s after their life was set to {_TTL_S:.0f} s"
            )
            await check_messages(service, traffic)
            return
        await asyncio.sleep(_STEP_S)
    traffic.faults.append(f"{files} files and these keys are left: {keys_left(service)[:10]}")


def _show(service: Service, jobs: int, jobs_per_s: float) -> None:
    parts = [memory([service.api_pid]), memory([service.broker_pid])]
    for number in range(WORKERS):
        parent = service.worker_pid(number)
        below = [pid for child in children(parent) for pid in tree(child)]
        parts += [memory([parent]), memory(below)]
    print(f"{jobs:>6}{jobs_per_s:>8.2f}{'':>26}" + "".join(map(_cell, parts)), flush=True)


def _cell(held: Memory) -> str:
    return f"{held.rss:>7.0f} ({held.pss:>4.0f}) "


def _redis_bytes(service: Service) -> int:
    return int(service.redis.info("memory")["used_memory_dataset"])


def _disk_bytes(service: Service) -> int:
    return _bytes_in(service.settings.data_dir / "jobs")


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
