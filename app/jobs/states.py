"""The states of a job and the arrows between them: the whole state machine.

::

    queued ──> running ──> succeeded ──> expired
       │          ├──────> failed ─────> expired
       │          └──────> canceled ───> expired
       ├──> failed
       └──> canceled

A worker that is lost while a job runs hands it to another: that is a new *attempt* in the same
state, not an arrow.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether no worker will touch the job again."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Stage(StrEnum):
    """What a running job is doing, in this order."""

    PROBE = "probe"
    TAG = "tag"
    SEPARATE = "separate"
    ENCODE = "encode"


_ENDED = frozenset({JobState.EXPIRED})
ARROWS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED}),
    JobState.SUCCEEDED: _ENDED,
    JobState.FAILED: _ENDED,
    JobState.CANCELED: _ENDED,
    JobState.EXPIRED: frozenset(),
}
