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
from app.storage import LocalStorage
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


def posted(store: JobStore, storage: LocalStorage, clock: Clock) -> Job:
    job = new_job(clock.now)
    with storage.upload(job.id, "audio.wav") as part:
        part.write(b"sound")
    store.create(job)
    return job


def ended(store: JobStore, storage: LocalStorage, clock: Clock, state: JobState = JobState.SUCCEEDED) -> Job:
    job = posted(store, storage, clock)
    store.start(job.id)
    if state is JobState.SUCCEEDED:
        with storage.scratch(job.id) as scratch:
            (scratch / "left.wav").write_bytes(b"stem")
            storage.publish(job.id, scratch)
        return store.succeed(job.id)
    return store.fail(job.id, ERROR) if state is JobState.FAILED else store.cancel(job.id)


def files(settings: Settings) -> list[Path]:
    return [path for path in settings.data_dir.rglob("*") if path.is_file()]


def age(folder: Path, seconds: float) -> None:
    """Let a folder and all in it be written `seconds` ago."""
    then = time.time() - seconds
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then))


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED])
def test_a_life_to_its_very_end(
    timed: JobStore, storage: LocalStorage, clock: Clock, settings: Settings, redis_client: redis.Redis,
    state: JobState,
) -> None:  # fmt: skip
    job = ended(timed, storage, clock, state)
    clock.now += TTL_S - 1
    expire_jobs(timed, storage, TTL_S, clock.now)
    assert timed.get(job.id).state is state
    assert files(settings)
    clock.now += 2
    expire_jobs(timed, storage, TTL_S, clock.now)
    expired = timed.get(job.id)
    assert (expired.state, expired.expired_at, expired.finished_at) == (JobState.EXPIRED, clock.now, job.finished_at)
    assert files(settings) == []
    assert not (settings.data_dir / "jobs" / job.id).exists()
    clock.now += TTL_S - 1
    expire_jobs(timed, storage, TTL_S, clock.now)
    assert timed.get(job.id) == expired
    clock.now += 2
    expire_jobs(timed, storage, TTL_S, clock.now)
    assert redis_client.keys("*") == []


def test_the_age_is_counted_from_the_end(timed: JobStore, storage: LocalStorage, clock: Clock) -> None:
    waiting, running, done = (posted(timed, storage, clock) for _ in range(3))
    timed.start(running.id)
    timed.start(done.id)
    clock.now += 10 * TTL_S
    timed.succeed(done.id)
    clock.now += 1
    expire_jobs(timed, storage, TTL_S, clock.now)
    states = timed.states([waiting.id, running.id, done.id, "0" * 32])
    assert states == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED, None]


def test_many_are_expired_bit_by_bit(timed: JobStore, storage: LocalStorage, clock: Clock) -> None:
    for _ in range(MOST_EXPIRED + 1):
        ended(timed, storage, clock, JobState.FAILED)
    clock.now += 2 * TTL_S
    assert expire_jobs(timed, storage, TTL_S, clock.now)
    assert len(timed.created_before(clock.now, JobState.FAILED)) == 1
    assert not expire_jobs(timed, storage, TTL_S, clock.now)
    assert len(timed.created_before(clock.now, JobState.FAILED)) == 0


def test_the_sweep_takes_what_nobody_owns_and_nothing_else(
    store: JobStore, storage: LocalStorage, clock: Clock, settings: Settings
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
    assert storage.artifact(kept[1].id, "left.wav").read_bytes() == b"stem"
    assert {path.name for path in trash.iterdir() if (path / "left.wav").exists()} == {"new"}
    assert not (trash / "probe").exists()


def test_nothing_to_sweep(store: JobStore, storage: LocalStorage) -> None:
    sweep(store, storage)
    assert not expire_jobs(store, storage, TTL_S)
