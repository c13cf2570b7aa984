"""What time takes away, and what it leaves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import redis

from app.jobs.record import Job
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.settings import Settings
from app.storage.bucket import Bucket
from app.storage.protocol import Storage
from tests.conftest import leftovers
from tests.storages import Stored, both_storages, read_artifact
from tests.unit.test_app_store import ERROR, new_job
from worker.expiry import MOST_EXPIRED, expire_jobs, sweep

TTL_S = 100.0


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(redis_client: redis.Redis, clock: Clock) -> JobStore:
    """A store whose time is the test's."""
    return JobStore(redis_client, clock)


def posted(store: JobStore, storage: Storage, clock: Clock) -> Job:
    job = new_job(clock.now)
    with storage.upload(job.id, "audio.wav") as part:
        part.write(b"sound")
    store.create(job)
    return job


def ended(store: JobStore, storage: Storage, clock: Clock, state: JobState = JobState.SUCCEEDED) -> Job:
    job = posted(store, storage, clock)
    store.start(job.id)
    if state is JobState.SUCCEEDED:
        with storage.scratch(job.id) as scratch:
            (scratch / "left.wav").write_bytes(b"stem")
            storage.publish(job.id, scratch)
        return store.succeed(job.id)
    return store.fail(job.id, ERROR) if state is JobState.FAILED else store.cancel(job.id)


def age(folder: Path, seconds: float) -> None:
    """Let a folder and all in it be written `seconds` ago."""
    then = time.time() - seconds
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then))


@both_storages
@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED])
def test_a_life_to_its_very_end(
    timed: JobStore, storage: Storage, clock: Clock, stored: Stored, redis_client: redis.Redis, state: JobState
) -> None:
    job = ended(timed, storage, clock, state)
    clock.now += TTL_S - 1
    expire_jobs(timed, storage, TTL_S, clock.now)
    assert timed.get(job.id).state is state
    assert stored()
    clock.now += 2
    expire_jobs(timed, storage, TTL_S, clock.now)
    expired = timed.get(job.id)
    assert (expired.state, expired.expired_at, expired.finished_at) == (JobState.EXPIRED, clock.now, job.finished_at)
    assert stored() == []
    assert list(storage.jobs()) == []
    clock.now += TTL_S - 1
    expire_jobs(timed, storage, TTL_S, clock.now)
    assert timed.get(job.id) == expired
    clock.now += 2
    expire_jobs(timed, storage, TTL_S, clock.now)
    assert leftovers(redis_client) == []


def test_the_age_is_counted_from_the_end(timed: JobStore, storage: Storage, clock: Clock) -> None:
    waiting, running, done = (posted(timed, storage, clock) for _ in range(3))
    timed.start(running.id)
    timed.start(done.id)
    clock.now += 10 * TTL_S
    timed.succeed(done.id)
    clock.now += 1
    expire_jobs(timed, storage, TTL_S, clock.now)
    states = timed.states([waiting.id, running.id, done.id, "0" * 32])
    assert states == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED, None]


def test_many_are_expired_bit_by_bit(timed: JobStore, storage: Storage, clock: Clock) -> None:
    for _ in range(MOST_EXPIRED + 1):
        ended(timed, storage, clock, JobState.FAILED)
    clock.now += 2 * TTL_S
    assert expire_jobs(timed, storage, TTL_S, clock.now)
    assert len(timed.created_before(clock.now, JobState.FAILED)) == 1
    assert not expire_jobs(timed, storage, TTL_S, clock.now)
    assert len(timed.created_before(clock.now, JobState.FAILED)) == 0


def test_the_sweep_takes_what_nobody_owns_and_nothing_else(
    store: JobStore, storage: Storage, clock: Clock, settings: Settings
) -> None:
    jobs = settings.data_dir / "jobs"
    kept = [posted(store, storage, clock), ended(store, storage, clock)]
    running = posted(store, storage, clock)
    store.start(running.id)
    expired = ended(store, storage, clock)
    store.expire(expired.id)
    orphan, uploading = (new_job() for _ in range(2))
    for job in (orphan, uploading):
        with storage.upload(job.id, "audio.wav") as part:
            part.write(b"sound")
    for job in (kept[1], running):
        (jobs / job.id / "scratch-0").mkdir()
        (jobs / job.id / "scratch-0" / "left.wav").write_bytes(b"half a stem")
    trash = settings.data_dir / "trash"
    for name in ("old", "new"):
        (trash / name).mkdir(parents=True)
        (trash / name / "left.wav").write_bytes(b"stem")
    (trash / "probe").write_bytes(b"duetto")
    for folder in (*jobs.iterdir(), trash / "old", trash / "probe"):
        age(folder, 2000)
    # An upload that goes on: its folder is old, what comes in is not.
    part = storage.upload(uploading.id, "video.mp4")
    part.write(b"sound")
    age(jobs / uploading.id / "upload" / "audio.wav", 2000)

    sweep(store, storage, orphan_after_s=1000)

    part.discard()
    assert {path.name for path in jobs.iterdir()} == {job.id for job in (*kept, running, uploading)}
    assert [path.name for path in (jobs / kept[1].id).iterdir() if "scratch" in path.name] == []
    assert (jobs / running.id / "scratch-0" / "left.wav").exists(), "its attempt may be alive"
    assert read_artifact(storage, kept[1].id, "left.wav") == b"stem"
    assert {path.name for path in trash.iterdir() if (path / "left.wav").exists()} == {"new"}
    assert not (trash / "probe").exists()


@pytest.mark.parametrize("settings", ["s3"], indirect=True)
def test_the_sweep_of_a_bucket(
    store: JobStore, storage: Storage, clock: Clock, settings: Settings, stored: Stored
) -> None:
    kept = [posted(store, storage, clock), ended(store, storage, clock)]
    running, failed = posted(store, storage, clock), ended(store, storage, clock, JobState.FAILED)
    store.start(running.id)
    expired, orphan = ended(store, storage, clock), new_job()
    store.expire(expired.id)
    with storage.upload(orphan.id, "audio.wav") as part:
        part.write(b"sound")
    late = new_job()
    for job in (kept[1], running, failed, late):
        Bucket(settings).put(f"jobs/{job.id}/attempts/{'0' * 32}/left.wav/000000", b"half a stem")

    def jobs_with(folder: str) -> set[str]:
        return {key.split("/")[1] for key in stored() if f"/{folder}/" in key}

    sweep(store, storage, orphan_after_s=1000)
    assert jobs_with("upload") == {job.id for job in (*kept, running, failed, orphan)}
    assert jobs_with("attempts") == {kept[1].id, running.id, late.id}
    assert f"jobs/{kept[1].id}/attempts/{'0' * 32}/left.wav/000000" not in stored()
    # Nothing can be made old here; so let everything that was written before now plus a margin be.
    sweep(store, storage, orphan_after_s=-1000)
    assert jobs_with("upload") == {job.id for job in (*kept, running, failed)}
    assert jobs_with("attempts") == {kept[1].id, running.id}
    assert read_artifact(storage, kept[1].id, "left.wav") == b"stem"


@both_storages
def test_nothing_to_sweep(store: JobStore, storage: Storage) -> None:
    sweep(store, storage)
    assert not expire_jobs(store, storage, TTL_S)
