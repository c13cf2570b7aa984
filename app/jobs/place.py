"""The place of a job in its queue: how many wait ahead of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from redis.client import Pipeline

from app.jobs.states import JobState
from app.queue import QUEUES

# One answer of a pipeline for each queue: which one a job is in, its record says, and to read that first would be
# another round trip.
ANSWERS: Final = len(QUEUES)


def ask_for_place(pipeline: Pipeline, job_id: str) -> None:
    """Add to the pipeline what tells the place of the job; `places` reads its answers."""
    for queue in QUEUES:
        pipeline.zrank(f"duetto:jobs:{JobState.QUEUED}:{queue}", job_id)


def places(answers: Sequence[int | None]) -> Sequence[int | None]:
    """Return the place of each job that was asked for, 0: next; None: it does not wait."""
    by_job = (answers[index : index + ANSWERS] for index in range(0, len(answers), ANSWERS))
    return [next((place for place in found if place is not None), None) for found in by_job]
