"""What must be true after the killing: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from app.jobs.lease import MAX_ATTEMPTS
from app.queue import QUEUES
from tests.chaos.service import WORKERS, Service
from tests.chaos.traffic import Accepted, Traffic

# Celery hands lost messages out again; the reconciler drops those of jobs that have ended.
_MESSAGES_GONE_S: Final = 90.0
_SWEPT_S: Final = 60.0
_ORPHAN_AGE_S: Final = 7200.0
_STEP_S: Final = 0.2
# A file that kills its worker three times cannot be told from a worker that is killed three times with it.
_MAY_FAIL_WITH: Final = frozenset({"worker_lost"})
_FOLDERS: Final = {"succeeded": {"upload", "artifacts"}, "failed": {"upload"}}
# What stays in Redis without jobs: who does the upkeep for some seconds, idempotency keys for 24 hours, Celery's lock
# on taking messages back for 5 minutes, if its worker was killed meanwhile ...
_KEYS_THAT_LAPSE: Final = ("duetto:upkeep", "duetto:idempotency:", "unacked_mutex")
# ... and without end, one key each for any number of jobs: counts for /metrics, the workers that run, Celery's routes.
_KEYS_THAT_STAY: Final = frozenset({"duetto:metrics", "duetto:workers", "duetto:workers:about"})
_CELERYS: Final = "_kombu.binding"

Reference = dict[str, dict[str, str]]


async def take_reference(traffic: Traffic, clips: Iterable[str]) -> Reference:
    """Return the digests of what each clip becomes when nothing is killed, from jobs that `traffic` has seen end."""
    reference: Reference = {}
    for job in traffic.jobs:
        if not job.last or job.last.job["state"] != "succeeded":
            raise AssertionError(f"{job.clip.name} does not succeed even undisturbed: {job.last}")
        reference[job.clip.name] = await traffic.digests(job)
    assert reference.keys() == set(clips)
    return reference


async def check_jobs(traffic: Traffic, reference: Reference) -> Counter[str]:
    """Hold every accepted job against the reference, into `traffic.faults`; return how many ended how."""
    ends: Counter[str] = Counter()
    slots = asyncio.Semaphore(4)

    async def check(job: Accepted) -> None:
        async with slots:
            ends[await _check_job(traffic, reference, job)] += 1

    async with asyncio.TaskGroup() as group:
        for job in traffic.jobs:
            group.create_task(check(job))
    await _check_list(traffic)
    return ends


async def _check_job(traffic: Traffic, reference: Reference, job: Accepted) -> str:
    def fault(text: str) -> None:
        traffic.faults.append(f"job {job.id} ({job.clip.name}): {text}")

    answer = await traffic.request("GET", f"/v1/jobs/{job.id}")
    if answer.status_code != 200:
        fault(f"lost: {answer.status_code}")
        return "lost"
    document = answer.json()
    state = document["state"]
    if not job.has_ended:
        fault(f"has not ended: it is {state}, attempt {document['attempts']}")
        return "unfinished"
    assert job.last is not None
    if document != job.last.job:
        fault(f"is {document}, but the last event told {job.last.job}")
    finals = sum(event.is_final for event in job.events)
    if finals != 1:
        fault(f"{finals} final events came")
    answer = await traffic.request("GET", f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": job.last.id})
    if answer.status_code != 204:
        fault(f"its stream goes on after the last event: {answer.status_code} {answer.text[:200]}")
    answer = await traffic.request("GET", f"/v1/jobs/{job.id}/events")
    if answer.text.count("\nevent: job\n") != 1 or f"\nid: {job.last.id}\n" not in answer.text:
        fault(f"its stream, read anew, is not the last event alone: {answer.text[:300]}")
    if state == "succeeded":
        found = await traffic.digests(job)
        if found != reference[job.clip.name]:
            fault(f"its files are not those of the undisturbed run: {found}")
    elif state == "failed":
        error = document["error"]
        if not error["message"] or error["code"] not in _MAY_FAIL_WITH or document["attempts"] != MAX_ATTEMPTS:
            fault(f"failed after {document['attempts']} attempts with {error}")
    else:
        fault(f"ended as {state}, which nobody asked for")
    return str(state)


async def _check_list(traffic: Traffic) -> None:
    """The list holds exactly the accepted jobs: no upload became two."""
    listed: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await traffic.request("GET", "/v1/jobs", params={"limit": 100} | cursor)).json()
        listed += [job["id"] for job in page["jobs"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    accepted = {job.id for job in traffic.jobs}
    if extra := set(listed) - accepted:
        traffic.faults.append(f"{len(extra)} jobs exist that no client has a 202 for, such as {min(extra)}")
    if missing := accepted - set(listed):
        traffic.faults.append(f"{len(missing)} accepted jobs are not listed, such as {min(missing)}")
    if len(listed) != len(set(listed)):
        traffic.faults.append("the list shows jobs twice")


async def check_each_worker(service: Service, traffic: Traffic) -> None:
    """Neither worker is deaf: each does a job of every clip while the other is stopped."""
    clips = {job.clip.name: job.clip for job in traffic.jobs}
    for number in range(WORKERS):
        await asyncio.to_thread(service.stop_worker, number)
        async with asyncio.TaskGroup() as group:
            for clip in clips.values():
                group.create_task(traffic.run(clip))
        await asyncio.to_thread(service.start_worker, number)
        await asyncio.to_thread(service.await_up)


async def check_messages(service: Service, traffic: Traffic) -> None:
    """No message of any job waits, or is held by a worker."""
    counts = {}
    deadline = time.monotonic() + _MESSAGES_GONE_S
    while time.monotonic() < deadline:
        counts = {queue: service.redis.llen(queue) for queue in QUEUES} | {
            "unacked": service.redis.hlen("unacked"),
            "unacked_index": service.redis.zcard("unacked_index"),
        }
        if not any(counts.values()):
            return
        await asyncio.sleep(_STEP_S)
    traffic.faults.append(f"messages are left though all jobs have ended: {counts}")


async def check_folders(service: Service, traffic: Traffic) -> int:
    """Each job has its upload and, if it succeeded, its artifacts, and nothing half done; return the uploads cut off.

    Those are folders of requests that died with the API: no job has them, and the sweep takes them in time.
    """
    states = {job.id: job.last.job["state"] for job in traffic.jobs if job.last}
    deadline = time.monotonic() + _SWEPT_S
    while True:
        orphans, wrong = 0, {}
        for folder in _listed(service.settings.data_dir / "jobs"):
            names = {path.name for path in folder.iterdir()}
            if folder.name not in states:
                orphans += 1
            elif names != _FOLDERS.get(states[folder.name]):
                wrong[folder.name] = names
        # A worker that has just started sweeps up after those that were killed.
        if not wrong or time.monotonic() > deadline:
            break
        await asyncio.sleep(_STEP_S)
    traffic.faults += [f"job {job_id} ({states[job_id]}) has {sorted(names)}" for job_id, names in wrong.items()]
    return orphans


async def check_nothing_stays(service: Service, traffic: Traffic) -> None:
    """Delete every job; then no file of it is left, and no key. What was cut off goes with the next sweep."""
    for job in traffic.jobs:
        answer = await traffic.request("DELETE", f"/v1/jobs/{job.id}")
        if answer.status_code != 204:
            traffic.faults.append(f"job {job.id}: its deletion was answered {answer.status_code}")
    data = service.settings.data_dir
    for number in range(WORKERS):
        await asyncio.to_thread(service.stop_worker, number)
    _age(data / "jobs")
    _age(data / "trash")
    for number in range(WORKERS):
        await asyncio.to_thread(service.start_worker, number)
    deadline = time.monotonic() + _SWEPT_S
    while (left := [*_listed(data / "jobs"), *_listed(data / "trash")]) and time.monotonic() < deadline:
        await asyncio.sleep(_STEP_S)
    traffic.faults += [f"left on the disk: {path.relative_to(data)}" for path in left]
    await check_messages(service, traffic)
    traffic.faults += [f"left in Redis: {key}" for key in keys_left(service)]


def keys_left(service: Service) -> list[str]:
    """Return the keys in Redis that belong to some job."""
    return [
        key
        for key in service.redis.scan_iter()
        if key not in _KEYS_THAT_STAY
        and not key.startswith(_CELERYS)
        and not (key.startswith(_KEYS_THAT_LAPSE) and service.redis.ttl(key) >= 0)
    ]


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _age(folder: Path) -> None:
    """Let all that lies there be as old as what the sweep takes."""
    old = time.time() - _ORPHAN_AGE_S
    for path in (folder, *folder.rglob("*")):
        if path.exists():
            os.utime(path, (old, old))
