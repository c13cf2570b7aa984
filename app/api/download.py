"""Answers with a file's bytes, or with those of several after each other: whole, in part, or not again.

RFC 9110: a Range that is malformed or has several parts is ignored (section 14.2), one behind the end is
answered 416; If-Range wants a strong entity tag; If-None-Match is answered 304. Repr-Digest: RFC 9530.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from fastapi import Request, Response, status
from fastapi.responses import StreamingResponse

from app.digests import Digest
from app.errors import RangeNotSatisfiable
from app.stored_file import RangeReader
from app.stored_zip import Segment, read_segments

_RANGE: Final = re.compile(r"bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})", re.IGNORECASE)


def download(
    request: Request, segments: Sequence[Segment], digest: Digest, media_type: str, filename: str, *, inline: bool
) -> Response:
    """Return the answer to `request` for `segments`, which together have `digest`.

    Raises
    ------
    RangeNotSatisfiable
        If a Range begins behind the end.
    """
    kind = "inline" if inline else "attachment"
    return send_range(
        request,
        digest.size,
        digest.etag,
        media_type,
        lambda start, stop: read_segments(segments, start, stop),
        {"Repr-Digest": digest.field},
        {"Content-Disposition": f'{kind}; filename="{filename}"'},
    )


def send_range(
    request: Request,
    size: int,
    etag: str,
    media_type: str,
    read: RangeReader,
    always: Mapping[str, str],
    with_content: Mapping[str, str],
) -> Response:
    """Return the answer to `request` for `size` bytes that `read` gives; headers for any answer, and for all but 304.

    Raises
    ------
    RangeNotSatisfiable
        If a Range begins behind the end.
    """
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache", **always}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    headers |= with_content
    start, stop, code = 0, size, status.HTTP_200_OK
    wanted = request.headers.get("range")
    if wanted is not None and request.headers.get("if-range", etag) == etag:
        found = parse_range(wanted, size)
        if found is not None:
            start, stop = found
            code = status.HTTP_206_PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(status_code=code, headers=headers, media_type=media_type)
    return StreamingResponse(read(start, stop), code, headers, media_type)


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """Return the first byte of a Range and the one after its last; None if all is to be sent.

    Raises
    ------
    RangeNotSatisfiable
        If it begins behind the end of the `size` bytes.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:  # the last so many bytes
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise RangeNotSatisfiable(f"the range begins behind the end: there are {size} bytes, counted from 0", size)
    return start, stop
