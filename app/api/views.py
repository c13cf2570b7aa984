"""A job as clients see it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.jobs.record import Delivery, Job, JobError, JobOptions
from app.jobs.states import JobState, Stage
from app.stem_names import stem_names

# Below this the time used so far says nothing about the time to come.
_LEAST_PROGRESS_FOR_ETA: Final = 0.05

JOB_EXAMPLE: Final[JsonDict] = {
    "id": "8f14e45fceea467a9c7f3d0d1f2b6a5e",
    "state": "running",
    "stage": "separate",
    "progress": 0.62,
    "eta_seconds": 9.5,
    "queue_position": None,
    "created_at": "2025-06-01T12:00:00.120000Z",
    "started_at": "2025-06-01T12:00:00.410000Z",
    "finished_at": None,
    "expired_at": None,
    "attempts": 1,
    "cancel_requested": False,
    "options": {
        "left": None,
        "right": "trumpet",
        "separator": "auto",
        "tagger": "auto",
        "labels": "auto",
        "format": "wav",
        "bits": 32,
    },
    "input": {"kind": "video", "title": "duet.mp4"},
    "error": None,
    "webhook": None,
    "links": {
        "self": "/v1/jobs/8f14e45fceea467a9c7f3d0d1f2b6a5e",
        "cancel": "/v1/jobs/8f14e45fceea467a9c7f3d0d1f2b6a5e/cancel",
        "result": None,
        "left": None,
        "right": None,
        "stems": None,
        "video": "/v1/jobs/8f14e45fceea467a9c7f3d0d1f2b6a5e/video",
        "events": "/v1/jobs/8f14e45fceea467a9c7f3d0d1f2b6a5e/events",
    },
}

PICTURE_EXAMPLE: Final[JsonDict] = {
    "name": "left",
    "url": "pictures/left.png",
    "width": 1000,
    "height": 320,
    "alt": "Spectrogram of the left stem, violin, 3:07 long. Most of its energy lies between 392 Hz and 4.1 kHz; it is "
    "loudest at 1:12, around 880 Hz, and sounds for 86% of the time.",
    "plot": {"left": 84, "top": 44, "width": 892, "height": 232},
}


class PlotView(BaseModel):
    """Where in a picture the axes lie, in pixels from its top left; time runs from left to right over all of it."""

    left: int
    top: int
    width: int
    height: int


class PictureView(BaseModel):
    """A picture that the worker has drawn."""

    model_config = ConfigDict(json_schema_extra={"example": PICTURE_EXAMPLE})

    name: str = Field(description="`frame`, `probabilities`, `mix`, `left` or `right`.")
    url: str = Field(description="Relative to the address of the result.")
    width: int = Field(description="In pixels, as `height`.")
    height: int
    alt: str = Field(description="In words, what is to be seen.")
    plot: PlotView | None = Field(description="Where the recording's time axis lies; null without one.")


class ResultView(BaseModel):
    """The result document. What else is in it: docs/api.md."""

    model_config = ConfigDict(extra="allow")

    pictures: list[PictureView] = Field(default=[], description="What was seen and heard, drawn.")


class InputView(BaseModel):
    """What was uploaded."""

    kind: Literal["video", "frames", "audio"]
    title: str = Field(description="The client's name for it, cleaned, for display.")


class WebhookView(BaseModel):
    """How telling the job's `webhook_url` of its end stands. The URL itself is not shown: it may hold a token."""

    state: Literal["pending", "delivered", "failed"] = Field(
        description="`delivered`: answered with 2xx. `failed`: given up, or refused with 410."
    )
    attempts: int
    last_status: int | None = Field(description="What it answered last; null if it did not answer.")
    last_error: str | None = Field(
        description="Why it did not: `address_refused` (not a public address), `name_not_found`, `connection_failed`, "
        "`tls_failed`, `timeout`, `protocol_error`, `internal_error`."
    )
    next_attempt_at: datetime | None = Field(description="Null before the job has ended, and after the last attempt.")


class Links(BaseModel):
    """Where to go from here; null where there is nothing (yet)."""

    self_: str = Field(alias="self", description="This job.")
    cancel: str | None = Field(description="POST to cancel; null once the job is final.")
    result: str | None = Field(description="The result document, once succeeded.")
    left: str | None = Field(description="The stem of the player on the left, once succeeded.")
    right: str | None = Field(description="The stem of the player on the right, once succeeded.")
    stems: str | None = Field(description="Both stems and the result in one zip, once succeeded.")
    video: str | None = Field(description="The uploaded video, while it is kept; null for frames and sound.")
    events: str = Field(description="The job's changes as server-sent events.")


class JobView(BaseModel):
    """A job."""

    model_config = ConfigDict(json_schema_extra={"example": JOB_EXAMPLE})

    id: str = Field(description="32 hexadecimal digits.")
    state: JobState
    stage: Stage | None = Field(description="What it is doing, while running.")
    progress: float = Field(ge=0.0, le=1.0, description="How much of the whole job is done.")
    eta_seconds: float | None = Field(description="Seconds left, by the pace so far, while running.")
    queue_position: int | None = Field(description="Jobs ahead of it, while queued.")
    created_at: datetime
    started_at: datetime | None = Field(description="Start of the present or last attempt.")
    finished_at: datetime | None
    expired_at: datetime | None = Field(description="When its files were removed by age.")
    attempts: int = Field(description="How often a worker began it; more than 1 after a worker was lost.")
    cancel_requested: bool = Field(description="Whether its worker has been asked to stop.")
    options: JobOptions
    input: InputView
    error: JobError | None = Field(description="Why it failed.")
    webhook: WebhookView | None = Field(description="Null if no `webhook_url` was given.")
    links: Links


class JobListView(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


def job_path(job_id: str) -> str:
    """Return the job's path on this server."""
    return f"/v1/jobs/{job_id}"


def view_job(job: Job, queue_position: int | None, now: float | None = None) -> JobView:
    """Return what clients see of `job`; `now` in seconds since the epoch."""
    path = job_path(job.id)
    succeeded = job.state is JobState.SUCCEEDED
    left, right = (f"{path}/stems/{name}" if succeeded else None for name in stem_names(job.options.format))
    return JobView(
        id=job.id,
        state=job.state,
        stage=job.stage,
        progress=job.progress,
        eta_seconds=_eta_seconds(job, time.time() if now is None else now),
        queue_position=queue_position if job.state is JobState.QUEUED else None,
        created_at=datetime.fromtimestamp(job.created_at, UTC),
        started_at=_moment(job.started_at),
        finished_at=_moment(job.finished_at),
        expired_at=_moment(job.expired_at),
        attempts=job.attempts,
        cancel_requested=job.cancel_requested,
        options=job.options,
        input=InputView(kind=job.input.kind, title=job.input.title),
        error=job.error,
        webhook=_view_webhook(job),
        links=Links(
            self=path,
            cancel=None if job.state.is_final else f"{path}/cancel",
            result=f"{path}/result" if succeeded else None,
            left=left,
            right=right,
            stems=f"{path}/stems.zip" if succeeded else None,
            video=f"{path}/video" if job.input.video and job.state is not JobState.EXPIRED else None,
            events=f"{path}/events",
        ),
    )


def event_id(job: Job, queue_position: int | None) -> str:
    """Return a name for the job's view as it is: it changes with the record and with the place in the queue."""
    place = queue_position if job.state is JobState.QUEUED else None
    return str(job.version) if place is None else f"{job.version}-{place}"


def entity_tag(job: Job, queue_position: int | None) -> str:
    """Return the weak ETag of the job's view."""
    return f'W/"{event_id(job, queue_position)}"'


def _view_webhook(job: Job) -> WebhookView | None:
    if job.webhook_url is None:
        return None
    # Due since the end, as long as nobody has tried.
    delivery = job.delivery or Delivery(next_attempt_at=job.finished_at)
    return WebhookView(
        state=delivery.state,
        attempts=delivery.attempts,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        next_attempt_at=_moment(delivery.next_attempt_at),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _eta_seconds(job: Job, now: float) -> float | None:
    if job.state is not JobState.RUNNING or job.started_at is None or job.progress < _LEAST_PROGRESS_FOR_ETA:
        return None
    elapsed_s = max(0.0, now - job.started_at)
    return round(elapsed_s * (1.0 - job.progress) / job.progress, 1)
