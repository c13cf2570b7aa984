"""The time that a job may take, and jobs that end for it or for what their upload does to the decoder."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from app.jobs.record import Job, JobInput, JobOptions
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.settings import Settings
from app.storage import LocalStorage
from tests.media import noise, write_wav
from worker.deadline import Deadline
from worker.errors import TimeLimit
from worker.jobs import run_job
from worker.media import launch
from worker.media.info import MediaInfo

LONG_AGO = 1_700_000_000.0


def deadline_at(now: list[float], **settings: float) -> Deadline:
    return Deadline(Settings(job_time_s=100.0, job_time_per_s=10.0, **settings), clock=lambda: now[0])


def info(duration_s: float | None) -> MediaInfo:
    return MediaInfo(format="wav", duration_s=duration_s, has_audio=True, has_video=False)


@pytest.mark.parametrize(("duration_s", "most_s"), [(0.0, 100.0), (30.0, 400.0), (None, 700.0)])
def test_time_grows_with_the_recording(duration_s: float | None, most_s: float) -> None:
    now = [5.0]
    deadline = deadline_at(now, max_duration_s=60.0)
    now[0] += 100.0
    deadline.check()
    now[0] += 0.1
    with pytest.raises(TimeLimit, match="than the 100 s"):
        deadline.check()
    deadline.probed(info(duration_s))
    now[0] = 5.0 + most_s
    deadline.check()
    now[0] += 0.1
    with pytest.raises(TimeLimit, match=f"than the {most_s:.0f} s"):
        deadline.check()


@pytest.fixture
def job(store: JobStore, storage: LocalStorage, tmp_path: Path) -> Job:
    """A job that is queued: a recording of 2 s, both players named."""
    made = Job(
        id=uuid.uuid4().hex,
        state=JobState.QUEUED,
        created_at=LONG_AGO,
        options=JobOptions(left="trumpet", right="violin"),
        input=JobInput(kind="audio", title="a.wav", audio="audio.wav"),
    )
    with storage.upload(made.id, "audio.wav") as part:
        part.write(write_wav(tmp_path / "a.wav", noise(1, 16_000), 8_000).read_bytes())
    store.create(made)
    return made


def test_a_job_that_is_out_of_time_fails_with_the_reason(job: Job, store: JobStore, settings: Settings) -> None:
    run_job(job.id, settings.model_copy(update={"job_time_s": 1e-6, "job_time_per_s": 1e-6}))
    ended = store.get(job.id)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert (ended.error.code, ended.error.retryable) == ("time_limit", False)


def test_an_upload_that_crashes_the_decoder_fails_and_the_next_job_runs(
    job: Job, store: JobStore, storage: LocalStorage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "PROGRAM", ("-m", "tests.unit.hostile_decoder", "crash"))
    run_job(job.id, settings)
    ended = store.get(job.id)
    assert ended.error is not None
    assert (ended.state, ended.error.code, ended.error.stage) == (JobState.FAILED, "decoder_crashed", "probe")
    assert not storage.is_published(job.id)
    monkeypatch.undo()
    again = job.model_copy(update={"id": uuid.uuid4().hex})
    with storage.open_upload(job.id, "audio.wav") as upload, storage.upload(again.id, "audio.wav") as part:
        part.write(upload.read())
    store.create(again)
    run_job(again.id, settings)
    assert store.get(again.id).state is JobState.SUCCEEDED
