"""What a webhook says: that a job has ended, how, and the whole job.

The same job gives the same body each time it is sent, whatever has become of its files or its webhook meanwhile:
who gets it twice can compare.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.api.views import JobView, view_job
from app.jobs.record import Job

EventType = Literal["job.succeeded", "job.failed", "job.canceled"]


class WebhookMessage(BaseModel):
    """A job has ended."""

    type: EventType
    timestamp: datetime = Field(description="When it ended.")
    data: JobView = Field(description="The job as it was then.")


def message_id(job_id: str) -> str:
    """Return the id of the message that tells of the job's end: a job ends once, so it has one."""
    return f"msg_{job_id}"


def message_body(job: Job) -> bytes:
    """Return the body of the message that tells of the end of `job`, as JSON.

    Raises
    ------
    ValueError
        If it has not ended, or nobody wants to be told.
    """
    if job.webhook_event is None or job.finished_at is None:
        raise ValueError("the job has no end to tell of")
    then = job.model_copy(update={"state": job.webhook_event, "expired_at": None, "delivery": None})
    message = WebhookMessage.model_validate(
        {
            "type": f"job.{job.webhook_event}",
            "timestamp": datetime.fromtimestamp(job.finished_at, UTC),
            "data": view_job(then, None),
        }
    )
    return message.model_dump_json(by_alias=True).encode("utf-8")
