"""The uploaded video, given back: a page shows it beside the stems.

It is somebody's file, of which only the first bytes were looked at. So it is sent as the kind of video that it was
taken for and as nothing else, never as a page, and in a sandbox should a browser open it by itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from app.api.access import AccessDep, CallerDep
from app.api.dependencies import StorageDep, StoreDep
from app.api.download import send_range
from app.api.jobs import JobId
from app.errors import (
    BrokerUnavailable,
    FilesGone,
    InvalidRequest,
    JobExpired,
    JobNotFound,
    RangeNotSatisfiable,
    StorageUnavailable,
    Unauthorized,
)
from app.jobs.states import JobState
from app.problems import problem_responses
from app.storage.protocol import Storage
from app.uploads import SNIFF_BYTES, Format

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"], dependencies=[AccessDep])

_READ_BYTES: Final = 1 << 20
_MEDIA_TYPES: Final = {
    Format.MP4: "video/mp4",
    Format.MATROSKA: "video/x-matroska",
    Format.AVI: "video/x-msvideo",
}
# Together with `nosniff` (app/security_headers.py): no script, no form, no origin of ours, in no other site's page.
_SANDBOX: Final = {
    "Content-Security-Policy": "default-src 'none'; media-src 'self'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_CONTENT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The whole video, as it was uploaded.",
        "content": dict.fromkeys([*_MEDIA_TYPES.values(), "video/webm"], _BINARY),
    },
    206: {"description": "The bytes that Range asked for."},
    304: {"description": "What If-None-Match names is what there is."},
}


@router.get(
    "/video",
    summary="Watch the uploaded video",
    response_class=Response,
    responses=_CONTENT
    | problem_responses(
        Unauthorized,
        JobNotFound,
        FilesGone,
        RangeNotSatisfiable,
        JobExpired,
        InvalidRequest,
        BrokerUnavailable,
        StorageUnavailable,
    ),
)
@router.head("/video", include_in_schema=False)
def video(request: Request, job_id: JobId, caller: CallerDep, store: StoreDep, storage: StorageDep) -> Response:
    """The video as it was uploaded, as long as the job has its files. Range and If-Range work, so players can seek."""
    job = store.get(job_id)
    caller.check_owner(job)
    if job.state is JobState.EXPIRED:
        raise JobExpired("the video has been removed by age; post it again")
    key = job.input.video
    if key is None:
        raise FilesGone(f"the job has no video: it was posted as {job.input.kind}")
    with storage.open_upload(job_id, key) as file:
        head = file.read(SNIFF_BYTES)
        size = file.seek(0, io.SEEK_END)
    # An upload never changes, and no other job has this id.
    etag = f'"{job_id}-video"'
    return send_range(request, size, etag, _media_type(key, head), partial(_read, storage, job_id, key), _SANDBOX, {})


def _media_type(key: str, head: bytes) -> str:
    kind = Format(key.rpartition(".")[2])
    # Both are EBML; the header's DocType tells them apart.
    return "video/webm" if kind is Format.MATROSKA and b"webm" in head else _MEDIA_TYPES[kind]


def _read(storage: Storage, job_id: str, key: str, start: int, stop: int) -> Iterator[bytes]:
    # Opened with the first byte that is sent: what ends before, such as HEAD, leaves nothing open.
    with storage.open_upload(job_id, key) as file:
        file.seek(start)
        while start < stop:
            block = file.read(min(_READ_BYTES, stop - start))
            if not block:
                raise EOFError("an uploaded file is shorter than it was")
            start += len(block)
            yield block
