"""The job record: what is known of one job, as the store keeps it. How clients see it: app/api/views.py."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.jobs.states import JobState, Stage
from app.methods import LabelRule, MethodName
from app.queue import QUEUE_NAME, QueueName
from app.stem_formats import BITS, Bits, StemFormat, default_bits


def _bits_of(options: dict[str, Any]) -> Bits | None:
    return default_bits(options["format"])


class JobOptions(BaseModel):
    """What the user asked for. `bits`: 16, 24 or 32 (float) a sample, as the format has them; null for mp3."""

    model_config = ConfigDict(frozen=True)

    left: str | None = None
    right: str | None = None
    separator: MethodName = "auto"
    tagger: MethodName = "auto"
    labels: LabelRule = "auto"
    format: StemFormat = "wav"
    bits: Bits | None = Field(default_factory=_bits_of)

    @model_validator(mode="after")
    def _check_bits(self) -> Self:
        choices = BITS[self.format]
        if self.bits not in (choices or (None,)):
            raise ValueError(f"{self.format} has {choices or 'no'} bits a sample, not {self.bits}")
        return self


class JobInput(BaseModel):
    """What was uploaded. Names are ours (storage keys), except `title`, which is the user's, for display only."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["video", "frames", "audio"]
    title: str
    video: str | None = None
    audio: str | None = None
    frames: tuple[str, ...] = ()
    frames_zip: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The storage keys of all that was uploaded."""
        return tuple(key for key in (self.video, self.audio, *self.frames, self.frames_zip) if key is not None)


class JobError(BaseModel):
    """Why a job failed: what was wrong, what was wanted and what to do; never a path or a traceback."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    stage: Stage | None = None
    retryable: bool = False


class Delivery(BaseModel):
    """How the webhook of a job's end stands (app/webhooks/outbox.py). `next_attempt_at`: seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    state: Literal["pending", "delivered", "failed"] = "pending"
    attempts: int = 0
    last_status: int | None = None  # what the receiver answered; None if it did not
    last_error: str | None = None  # why it did not answer
    next_attempt_at: float | None = None


class Job(BaseModel):
    """One job. Times are seconds since the epoch (UTC); `version` grows with every write."""

    model_config = ConfigDict(frozen=True)

    id: str
    state: JobState
    created_at: float
    options: JobOptions
    input: JobInput
    queue: QueueName = QUEUE_NAME  # where its messages are sent, the first and any later one
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
    webhook_url: str | None = None
    webhook_event: JobState | None = None  # the end that the webhook tells of
    delivery: Delivery | None = None  # None: not tried yet
    request_id: str | None = None  # of the request that posted it, for the log
