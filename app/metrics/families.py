"""What is counted and measured, by name: every family that is added to, with its labels and buckets.

Labels are of a fixed, small set of values: states, stages, codes, routes. Never an id, a name or anything
that a user wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Family:
    """A counter, or with `buckets` (upper bounds, rising, without infinity) a histogram."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


# Seconds. A short clip takes a few of them, a film of two hours a few thousand.
_WORK_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0)
# Requests: most take milliseconds, an upload minutes, a long poll up to `max_wait_s`.
_REQUEST_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

JOBS_CREATED: Final = Family("duetto_jobs_created", "Jobs that were taken.")
JOBS_ENDED: Final = Family("duetto_jobs_ended", "Jobs that ended, by how.", ("state",))
JOB_FAILURES: Final = Family("duetto_job_failures", "Jobs that failed, by the code of their error.", ("code",))
JOB_ATTEMPTS: Final = Family("duetto_job_attempts", "Attempts that workers began.")
JOB_RETRIES: Final = Family("duetto_job_retries", "Attempts after the first of a job: its worker was lost.")
JOB_WAIT: Final = Family("duetto_job_wait_seconds", "From posting to the first attempt.", buckets=_WORK_S)
JOB_DURATION: Final = Family(
    "duetto_job_duration_seconds", "From the start of the last attempt to the job's end.", ("state",), _WORK_S
)
STAGE_DURATION: Final = Family(
    "duetto_stage_duration_seconds", "Stages that attempts brought to their end.", ("stage",), _WORK_S
)
WEBHOOK_ATTEMPTS: Final = Family(
    "duetto_webhook_attempts",
    "Attempts to send a webhook, by how its delivery stands after it; pending: it is sent again.",
    ("state",),
)
HTTP_REQUESTS: Final = Family("duetto_http_requests", "Requests answered.", ("method", "route", "status"))
HTTP_DURATION: Final = Family(
    "duetto_http_request_duration_seconds",
    "From a request's head to the last byte of its answer.",
    ("method", "route"),
    _REQUEST_S,
)
HTTP_RECEIVED: Final = Family("duetto_http_received_bytes", "Bytes of request bodies.", ("route",))
HTTP_SENT: Final = Family("duetto_http_sent_bytes", "Bytes of answers' bodies.", ("route",))

FAMILIES: Final = (
    JOBS_CREATED,
    JOBS_ENDED,
    JOB_FAILURES,
    JOB_ATTEMPTS,
    JOB_RETRIES,
    JOB_WAIT,
    JOB_DURATION,
    STAGE_DURATION,
    WEBHOOK_ATTEMPTS,
    HTTP_REQUESTS,
    HTTP_DURATION,
    HTTP_RECEIVED,
    HTTP_SENT,
)
