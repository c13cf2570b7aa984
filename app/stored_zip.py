"""A zip of files as they are: stored, not deflated, and laid out before a byte of it is read.

Sizes and CRCs are known, so every header can be written beforehand. The zip is then a list of segments,
bytes and files in turn, whose length is known and which can be read from any place: no copy is made.

Conventions: PKWARE's APPNOTE 6.3.10. Dates are the least that the format has, 1980-01-01, so the same files
make the same zip. Numbers that do not fit into 32 bits go to the zip64 extra field (section 4.5.3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from app.digests import Digest
from app.stored_file import RangeReader, StoredFile

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR: Final = struct.Struct("<4sIQI")
_NEEDS: Final = 20  # version 2.0
_NEEDS_ZIP64: Final = 45  # version 4.5
_MADE_BY: Final = 3 << 8 | _NEEDS_ZIP64  # Unix
_DATE: Final = 1 << 5 | 1  # month 1, day 1 of 1980
_MODE: Final = 0o100644 << 16
_MOST: Final = 0xFFFF_FFFF


# A file stands for all of its bytes.
Segment = bytes | StoredFile


def length_of(segments: Sequence[Segment]) -> int:
    """Return the bytes of all segments together."""
    return sum(len(segment) if isinstance(segment, bytes) else segment.digest.size for segment in segments)


def read_segments(segments: Sequence[Segment], start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes from `start` up to `stop`, in blocks. All files are open from the first block on.

    Raises what opening and reading a `StoredFile` raises.
    """
    with ExitStack() as opened:
        parts: list[tuple[RangeReader, int, int]] = []
        offset = 0
        for segment in segments:
            size = length_of([segment])
            first, last = max(start - offset, 0), min(stop - offset, size)
            offset += size
            if first < last:
                read = _reader(segment) if isinstance(segment, bytes) else opened.enter_context(segment.open())
                parts.append((read, first, last))
        for read, first, last in parts:
            yield from read(first, last)


def _reader(data: bytes) -> RangeReader:
    def read(start: int, stop: int) -> Iterator[bytes]:
        yield data[start:stop]

    return read


def stored_zip(files: Sequence[StoredFile]) -> list[Segment]:
    """Return the segments of a zip with one stored member for each file, named as the file is (ASCII)."""
    segments: list[Segment] = []
    directory = b""
    offset = 0
    for file in files:
        name, digest = file.name.encode("ascii"), file.digest
        local = _local_header(name, digest)
        directory += _central_header(name, digest, offset)
        segments += [local, file]
        offset += len(local) + digest.size
    return [*segments, directory + _end(len(files), len(directory), offset)]


def _local_header(name: bytes, digest: Digest) -> bytes:
    size, extra, needs = digest.size, b"", _NEEDS
    if size >= _MOST:
        # Both sizes must stand here, in this order.
        size, extra, needs = _MOST, struct.pack("<2H2Q", 1, 16, digest.size, digest.size), _NEEDS_ZIP64
    head = _LOCAL.pack(b"PK\3\4", needs, 0, 0, 0, _DATE, digest.crc32, size, size, len(name), len(extra))
    return head + name + extra


def _central_header(name: bytes, digest: Digest, offset: int) -> bytes:
    numbers = []
    size, shown_offset, needs = digest.size, offset, _NEEDS
    if size >= _MOST:
        numbers += [size, size]
        size = _MOST
    if offset >= _MOST:
        numbers.append(offset)
        shown_offset = _MOST
    extra = b""
    if numbers:
        extra, needs = struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers), _NEEDS_ZIP64
    head = _CENTRAL.pack(
        b"PK\1\2", _MADE_BY, needs, 0, 0, 0, _DATE, digest.crc32, size, size,
        len(name), len(extra), 0, 0, 0, _MODE, shown_offset,
    )  # fmt: skip
    return head + name + extra


def _end(count: int, directory_bytes: int, offset: int) -> bytes:
    tail = b""
    if offset >= _MOST:
        tail = _END64.pack(
            b"PK\6\6", _END64.size - 12, _MADE_BY, _NEEDS_ZIP64, 0, 0, count, count, directory_bytes, offset
        ) + _LOCATOR.pack(b"PK\6\7", 0, offset + directory_bytes, 1)
    return tail + _END.pack(b"PK\5\6", 0, 0, count, count, directory_bytes, min(offset, _MOST), 0)
