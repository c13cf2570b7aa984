"""What a job has made, over HTTP: the two stems and the result document."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import FileResponse

from app.api.dependencies import StorageDep, StoreDep
from app.api.jobs import JobId
from app.errors import (
    BrokerUnavailable,
    FilesGone,
    InvalidRequest,
    JobCanceled,
    JobExpired,
    JobFailed,
    JobNotFound,
    StemNotReady,
)
from app.jobs.record import Job
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.problems import problem_responses
from app.storage import LEFT, RESULT, RIGHT, LocalStorage

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["stems"])

_RETRY_AFTER_S: Final = 2
# Stored files are of our own making, but a browser should not guess otherwise.
_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}

_PROBLEMS = problem_responses(
    JobNotFound,
    FilesGone,
    StemNotReady,
    JobFailed,
    JobCanceled,
    JobExpired,
    InvalidRequest,
    BrokerUnavailable,
)
_WAV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The whole stem.",
        "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {"description": "The bytes that Range asked for."},
    416: {"description": "The Range lies outside the file."},
}
_RESULT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The result document.",
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "labels": {
                        "left": {"instrument": "violin", "probability": 0.93, "source": "tagger"},
                        "right": {"instrument": "trumpet", "probability": None, "source": "request"},
                    },
                    "tagger": "efficientnet-lite2",
                    "separator": "report",
                },
            }
        },
    }
}


@router.get(
    "/stems/left.wav", summary="Download the left stem", response_class=FileResponse, responses=_WAV | _PROBLEMS
)
@router.head("/stems/left.wav", include_in_schema=False)
def left_stem(job_id: JobId, store: StoreDep, storage: StorageDep) -> FileResponse:
    """The player on the left, with the rate, channels and length of the recording. Range and If-Range work."""
    return _artifact(store, storage, job_id, LEFT, "audio/wav")


@router.get(
    "/stems/right.wav", summary="Download the right stem", response_class=FileResponse, responses=_WAV | _PROBLEMS
)
@router.head("/stems/right.wav", include_in_schema=False)
def right_stem(job_id: JobId, store: StoreDep, storage: StorageDep) -> FileResponse:
    """The player on the right, with the rate, channels and length of the recording. Range and If-Range work."""
    return _artifact(store, storage, job_id, RIGHT, "audio/wav")


@router.get("/result", summary="Read the result", response_class=FileResponse, responses=_RESULT | _PROBLEMS)
@router.head("/result", include_in_schema=False)
def result(job_id: JobId, store: StoreDep, storage: StorageDep) -> FileResponse:
    """Who plays on which side and how sure that is, what was used, and how the stems relate to the mix."""
    return _artifact(store, storage, job_id, RESULT, "application/json")


def _artifact(store: JobStore, storage: LocalStorage, job_id: str, name: str, media_type: str) -> FileResponse:
    _check_succeeded(store.get(job_id), name)
    path = storage.artifact(job_id, name)
    disposition = "inline" if name == RESULT else "attachment"
    return FileResponse(
        path, media_type=media_type, filename=name, content_disposition_type=disposition, headers=_HEADERS
    )


def _check_succeeded(job: Job, name: str) -> None:
    match job.state:
        case JobState.SUCCEEDED:
            return
        case JobState.QUEUED | JobState.RUNNING:
            raise StemNotReady(
                f"{name} is not ready: the job is {job.state}; "
                f"GET /v1/jobs/{job.id}?wait=60 until its state is succeeded, then ask again",
                retry_after_s=_RETRY_AFTER_S,
            )
        case JobState.FAILED:
            reason = job.error.message if job.error else "no reason was recorded"
            code = job.error.code if job.error else "unknown"
            raise JobFailed(
                f"there is no {name}, because the job failed: {reason}",
                errors=[{"code": code, "message": reason}],
            )
        case JobState.CANCELED:
            raise JobCanceled(f"there is no {name}, because the job was canceled; post the video again")
        case JobState.EXPIRED:
            raise JobExpired(f"{name} has been removed by age; post the video again")
