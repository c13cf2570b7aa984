"""What a job has made, over HTTP: the two stems, the result document, both in one zip, and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as UrlPath

from app.api.access import AccessDep, CallerDep
from app.api.dependencies import StorageDep, StoreDep
from app.api.download import download
from app.api.jobs import JobId
from app.api.views import PICTURE_EXAMPLE, ResultView
from app.errors import (
    BrokerUnavailable,
    FilesGone,
    InvalidRequest,
    JobCanceled,
    JobExpired,
    JobFailed,
    JobNotFound,
    OtherFormat,
    RangeNotSatisfiable,
    StemNotReady,
    StorageUnavailable,
    Unauthorized,
)
from app.jobs.record import Job
from app.jobs.states import JobState
from app.problems import problem_responses
from app.stem_formats import MEDIA_TYPES, STEM_FORMATS
from app.stem_names import RESULT, is_picture, stem_names
from app.storage.manifest import zip_of
from app.storage.protocol import Published, Storage

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["stems"], dependencies=[AccessDep])

ZIP: Final = "stems.zip"
PNG: Final = "image/png"

_RETRY_AFTER_S: Final = 2


@dataclass(frozen=True, slots=True)
class _Files:
    """The published files of a job that the caller may have."""

    job: Job
    storage: Storage

    def published(self, name: str) -> Published:
        """Return all of them, of which `name` is wanted; raise what the job's state has against that."""
        _check_succeeded(self.job, name)
        return self.storage.published(self.job.id)


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
    StorageUnavailable,
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
_STEM: Final[dict[int | str, dict[str, Any]]] = (
    _PART
    | problem_responses(OtherFormat, JobNotFound, FilesGone)
    | {
        200: {
            "description": "The whole stem.",
            "content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY),
            "headers": _HEADERS,
        },
    }
)
_ZIPPED: Final[dict[int | str, dict[str, Any]]] = _PART | {
    200: {"description": "The whole zip.", "content": {"application/zip": _BINARY}, "headers": _HEADERS},
}
_RESULT: Final[dict[int | str, dict[str, Any]]] = _PART | {
    200: {
        "description": "The result document.",
        "model": ResultView,
        "headers": _HEADERS,
        "content": {
            "application/json": {
                "example": {
                    "labels": {
                        "left": {"instrument": "violin", "probability": 0.93, "source": "tagger"},
                        "right": {"instrument": "trumpet", "probability": None, "source": "request"},
                    },
                    "label_rule": {"name": "fused", "step": "picture_and_sound", "frames": 8},
                    "tagger": "efficientnet-lite2",
                    "separator": "learned",
                    "warnings": [],
                    "quality": {
                        "left": {
                            "likely_sdr_db": 8.4,
                            "meaning": "fair: the other player is heard faintly behind the violin",
                        },
                        "right": {"likely_sdr_db": 12.9, "meaning": "clean: little but the trumpet is heard"},
                    },
                    "pictures": [PICTURE_EXAMPLE],
                },
            }
        },
    }
}
_PICTURE: Final[dict[int | str, dict[str, Any]]] = _PART | {
    200: {"description": "The picture.", "content": {PNG: _BINARY}, "headers": _HEADERS},
}


_StemName = Annotated[
    str,
    UrlPath(
        description="`left` or `right`, with the format that the job was posted with.",
        # Not checked here: what the job does not have is answered with the names that it has.
        json_schema_extra={"enum": [name for known in STEM_FORMATS for name in stem_names(known)]},
    ),
]


@router.get("/stems/{name}", summary="Download a stem", response_class=Response, responses=_PROBLEMS | _STEM)
@router.head("/stems/{name}", include_in_schema=False)
def stem(request: Request, files: _FilesDep, name: _StemName) -> Response:
    """One player, in the format that the job was posted with. Range and If-Range work.

    wav and flac have the rate, channels and length of the recording, to the sample. mp3 too, but for rates that it
    does not know: then the result says which it has instead.
    """
    stem_format = files.job.options.format
    names = stem_names(stem_format)
    if name not in names:
        raise OtherFormat(
            f"the job has no stem {name[:40]!r}: it was posted with format {stem_format}, so its stems are "
            f"{names[0]} and {names[1]}; ask for one of these, or post the video again with another `format`"
        )
    return _single(request, files, name, MEDIA_TYPES[stem_format])


@router.get("/result", summary="Read the result", response_class=Response, responses=_RESULT | _PROBLEMS)
@router.head("/result", include_in_schema=False)
def result(request: Request, files: _FilesDep) -> Response:
    """Who plays on which side and how sure that is, what was used, and how the stems relate to the mix."""
    return _single(request, files, RESULT, "application/json", inline=True)


@router.get("/stems.zip", summary="Download everything", response_class=Response, responses=_ZIPPED | _PROBLEMS)
@router.head("/stems.zip", include_in_schema=False)
def zipped(request: Request, files: _FilesDep) -> Response:
    """Both stems and result.json in one zip, stored as they are. Range and If-Range work, so a download can resume."""
    published = files.published(ZIP)
    segments = zip_of(published.files.values())
    return download(request, segments, published.zip_digest, "application/zip", ZIP, inline=False)


@router.get(
    "/pictures/{name}", summary="See what was seen and heard", response_class=Response, responses=_PICTURE | _PROBLEMS
)
@router.head("/pictures/{name}", include_in_schema=False)
def picture(
    request: Request,
    files: _FilesDep,
    name: Annotated[str, UrlPath(description="One of those that the result lists.", examples=["mix.png"])],
) -> Response:
    """A spectrogram, probabilities over time, or a frame with what was seen where. The result lists those there are."""
    published = files.published(name[:40])
    there = [one for one in published.files if is_picture(one)]
    if name not in there:
        raise FilesGone(
            f"the job has no picture {name[:40]!r}; "
            + (f"it has {', '.join(there)}" if there else "it has none at all")
        )
    file = published.file(name)
    return download(request, [file], file.digest, PNG, name, inline=True)


def _single(request: Request, files: _Files, name: str, media_type: str, *, inline: bool = False) -> Response:
    file = files.published(name).file(name)
    return download(request, [file], file.digest, media_type, name, inline=inline)


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
