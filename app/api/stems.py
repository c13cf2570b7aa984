"""What a job has made, over HTTP: the two stems, the result document, and all of it in one zip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from app.api.access import AccessDep, CallerDep
from app.api.dependencies import StorageDep, StoreDep
from app.api.download import download
from app.api.jobs import JobId
from app.digests import Digest, digest_of, file_digest, keep, read_kept
from app.errors import (
    BrokerUnavailable,
    FilesGone,
    InvalidRequest,
    JobCanceled,
    JobExpired,
    JobFailed,
    JobNotFound,
    RangeNotSatisfiable,
    StemNotReady,
    Unauthorized,
)
from app.jobs.record import Job
from app.jobs.states import JobState
from app.problems import problem_responses
from app.storage import ARTIFACTS, LEFT, RESULT, RIGHT, LocalStorage
from app.stored_zip import FileSegment, Segment, length_of, read_segments, stored_zip

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["stems"], dependencies=[AccessDep])

ZIP: Final = "stems.zip"

_RETRY_AFTER_S: Final = 2


@dataclass(frozen=True, slots=True)
class _Files:
    """The published files of a job that the caller may have."""

    job: Job
    storage: LocalStorage

    def path(self, name: str) -> Path:
        """Return where a file lies; raise what the job's state or its folder has against that."""
        _check_succeeded(self.job, name)
        return self.storage.artifact(self.job.id, name)


def _files(job_id: JobId, caller: CallerDep, store: StoreDep, storage: StorageDep) -> _Files:
    job = store.get(job_id)
    caller.check_owner(job)
    return _Files(job, storage)


_FilesDep = Annotated[_Files, Depends(_files)]

_PROBLEMS = problem_responses(
    Unauthorized,
    JobNotFound,
    FilesGone,
    RangeNotSatisfiable,
    StemNotReady,
    JobFailed,
    JobCanceled,
    JobExpired,
    InvalidRequest,
    BrokerUnavailable,
)
_HEADERS: Final = {
    "ETag": {"description": "Strong: the content's SHA-256.", "schema": {"type": "string"}},
    "Repr-Digest": {"description": "`sha-256=:...:`, the whole file's (RFC 9530).", "schema": {"type": "string"}},
}
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_PART: Final[dict[int | str, dict[str, Any]]] = {
    206: {"description": "The bytes that Range asked for.", "headers": _HEADERS},
    304: {"description": "What If-None-Match names is what there is."},
}
_WAV: Final[dict[int | str, dict[str, Any]]] = _PART | {
    200: {"description": "The whole stem.", "content": {"audio/wav": _BINARY}, "headers": _HEADERS},
}
_ZIPPED: Final[dict[int | str, dict[str, Any]]] = _PART | {
    200: {"description": "The whole zip.", "content": {"application/zip": _BINARY}, "headers": _HEADERS},
}
_RESULT: Final[dict[int | str, dict[str, Any]]] = _PART | {
    200: {
        "description": "The result document.",
        "headers": _HEADERS,
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


@router.get("/stems/left.wav", summary="Download the left stem", response_class=Response, responses=_WAV | _PROBLEMS)
@router.head("/stems/left.wav", include_in_schema=False)
def left_stem(request: Request, files: _FilesDep) -> Response:
    """The player on the left, with the rate, channels and length of the recording. Range and If-Range work."""
    return _single(request, files.path(LEFT), "audio/wav")


@router.get("/stems/right.wav", summary="Download the right stem", response_class=Response, responses=_WAV | _PROBLEMS)
@router.head("/stems/right.wav", include_in_schema=False)
def right_stem(request: Request, files: _FilesDep) -> Response:
    """The player on the right, with the rate, channels and length of the recording. Range and If-Range work."""
    return _single(request, files.path(RIGHT), "audio/wav")


@router.get("/result", summary="Read the result", response_class=Response, responses=_RESULT | _PROBLEMS)
@router.head("/result", include_in_schema=False)
def result(request: Request, files: _FilesDep) -> Response:
    """Who plays on which side and how sure that is, what was used, and how the stems relate to the mix."""
    return _single(request, files.path(RESULT), "application/json", inline=True)


@router.get("/stems.zip", summary="Download everything", response_class=Response, responses=_ZIPPED | _PROBLEMS)
@router.head("/stems.zip", include_in_schema=False)
def zipped(request: Request, files: _FilesDep) -> Response:
    """Both stems and result.json in one zip, stored as they are. Range and If-Range work, so a download can resume."""
    with _gone_meanwhile():
        members = [(path, file_digest(path)) for path in map(files.path, ARTIFACTS)]
        segments = stored_zip(members)
        digest = _zip_digest(members, segments)
    return download(request, segments, digest, "application/zip", ZIP, inline=False)


def _single(request: Request, path: Path, media_type: str, *, inline: bool = False) -> Response:
    with _gone_meanwhile():
        digest = file_digest(path)
    return download(request, [FileSegment(path, digest.size)], digest, media_type, path.name, inline=inline)


@contextmanager
def _gone_meanwhile() -> Iterator[None]:
    """Turn a file that vanishes under our hands into our own error: the job is being deleted."""
    try:
        yield
    except FileNotFoundError as error:
        raise FilesGone("the job has been deleted at this moment, and its files with it") from error


def _zip_digest(members: Sequence[tuple[Path, Digest]], segments: Sequence[Segment]) -> Digest:
    """Return the digest of the zip, kept beside the files it is of."""
    place = members[0][0].with_name(ZIP)
    mark = " ".join(digest.sha256 for _, digest in members)
    kept = read_kept(place, mark)
    if kept is None:
        kept = digest_of(read_segments(segments, 0, length_of(segments)))
        keep(place, mark, kept)
    return kept


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
