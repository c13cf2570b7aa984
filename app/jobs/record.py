"""The job record: what is known of one job, as the store keeps it. How clients see it: app/api/views.py."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.states import JobState, Stage
from app.methods import SeparatorName, TaggerName


class JobOptions(BaseModel):
    """What the user asked for."""

    model_config = ConfigDict(frozen=True)

    left: str | None = None
    right: str | None = None
    separator: SeparatorName = "auto"
    tagger: TaggerName = "auto"


class JobInput(BaseModel):
    """What was uploaded. Names are ours (storage keys), except `title`, which is the user's, for display only."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["video", "frames", "audio"]
    title: str
    video: str | None = None
    audio: str | None = None
    frames: tuple[str, ...] = ()
    frames_zip: str | None = None


class JobError(BaseModel):
    """Why a job failed: what was wrong, what was wanted and what to do; never a path or a traceback."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    stage: Stage | None = None
    retryable: bool = False


class Job(BaseModel):
    """One job. Times are seconds since the epoch (UTC); `version` grows with every write."""

    model_config = ConfigDict(frozen=True)

    id: str
    state: JobState
    created_at: float
    options: JobOptions
    input: JobInput
    owner: str | None = None  # the name of the API key it was posted with
    version: int = 1
    stage: Stage | None = None
    progress: float = Field(default=0.0, ge=0.0, le=1.0)
    started_at: float | None = None
    finished_at: float | None = None
    expired_at: float | None = None
    attempts: int = 0
    cancel_requested: bool = False
    error: JobError | None = None
