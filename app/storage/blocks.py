"""Files as rows of objects: ``<folder>/000000``, ``<folder>/000001`` and so on, of `BLOCK_BYTES` each but for the last.

S3 has multipart uploads for what is too large for memory. But what a process that is killed leaves of one is no
object: obstore can neither find nor remove it, and it is paid for until somebody does. Blocks are objects like any
others; the same listing that finds a job finds what was left of it. They cost as many requests as parts would.

A row that is complete by itself says so in its last key, ``<number>.last``: one listing shows which files are whole.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.digests import Digest
from app.errors import FilesGone
from app.storage.bucket import Bucket, Entry
from app.storage.protocol import UploadPart
from app.stored_file import RangeReader

# What an upload holds in memory, and so does a download: there may be some dozens at a time.
BLOCK_BYTES: Final = 4 << 20
_READ_BYTES: Final = 1 << 20
_BLOCK: Final = re.compile(r"(\d{6,})(\.last)?")


def block_key(folder: str, index: int, *, is_last: bool = False) -> str:
    """Return the key of a block."""
    return f"{folder}/{index:06d}{'.last' if is_last else ''}"


class BlockUpload(UploadPart):
    """An upload in blocks; the last one, which makes the file whole, is written by `commit`."""

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self._bucket = bucket
        self._folder = folder
        self._buffer = bytearray()
        self._keys: list[str] = []
        self._is_committed = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """See `UploadPart`."""
        self._buffer += data
        self.size += len(data)
        # One byte more than a block: what is written here is never the last one.
        while len(self._buffer) > BLOCK_BYTES:
            self._put(BLOCK_BYTES, is_last=False)

    def commit(self) -> None:
        """See `UploadPart`."""
        self._put(len(self._buffer), is_last=True)
        self._is_committed = True

    def discard(self) -> None:
        """See `UploadPart`."""
        if not self._is_committed and self._keys:
            self._bucket.delete(self._keys)
        self._keys.clear()
        self._buffer.clear()

    def _put(self, size: int, *, is_last: bool) -> None:
        key = block_key(self._folder, len(self._keys), is_last=is_last)
        # First: what fails may have been written all the same.
        self._keys.append(key)
        self._bucket.put(key, bytes(self._buffer[:size]))
        del self._buffer[:size]


def put_file(bucket: Bucket, folder: str, path: Path) -> None:
    """Write a file of this machine as a row of blocks without a `.last`. Raises `OSError` if it cannot be read."""
    with path.open("rb") as file:
        for index, block in enumerate(iter(lambda: file.read(BLOCK_BYTES), b"")):
            bucket.put(block_key(folder, index), block)


def whole_rows(entries: Iterator[Entry]) -> Mapping[str, Sequence[Entry]]:
    """Return the rows among `entries` that are complete, by the name of their folder, their blocks in order."""
    rows: dict[str, list[tuple[int, bool, Entry]]] = {}
    for entry in entries:
        folder, _, name = entry.key.rpartition("/")
        if match := _BLOCK.fullmatch(name):
            rows.setdefault(folder.rpartition("/")[2], []).append((int(match[1]), match[2] is not None, entry))
    whole = {}
    for folder, row in rows.items():
        row.sort(key=lambda block: block[0])
        numbers, lasts = [number for number, _, _ in row], [is_last for _, is_last, _ in row]
        if numbers == list(range(len(row))) and lasts == [*[False] * (len(row) - 1), True]:
            whole[folder] = [entry for _, _, entry in row]
    return whole


class BlockFile:
    """A file of known length in blocks of `BLOCK_BYTES`, as `StoredFile` has it."""

    def __init__(self, bucket: Bucket, folder: str, name: str, digest: Digest) -> None:
        self._bucket = bucket
        self._folder = folder
        self.name = name
        self.digest = digest

    @contextmanager
    def open(self) -> Iterator[RangeReader]:
        """Open it; nothing is asked of the bucket before it is read."""
        yield self._read

    def _read(self, start: int, stop: int) -> Iterator[bytes]:
        # Short requests, one after the other: a client that takes its time holds no connection to the bucket open.
        while start < stop:
            index, offset = divmod(start, BLOCK_BYTES)
            size = min(_READ_BYTES, BLOCK_BYTES - offset, stop - start)
            yield get_part(self._bucket, block_key(self._folder, index), offset, size)
            start += size


class RowReader(io.RawIOBase):
    """A row of blocks as a file to read and to seek in."""

    def __init__(self, bucket: Bucket, row: Sequence[Entry]) -> None:
        self._bucket = bucket
        self._row = row
        self._size = sum(entry.size for entry in row)
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; see `io.IOBase`. Raises `ValueError` if that is before the beginning."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError("a place before the beginning of the file")
        self._position = origin + offset
        return self._position

    def readall(self) -> bytes:
        """Read to the end, a block a request. `io.RawIOBase` would ask for 8 KiB each time."""
        return b"".join(iter(lambda: self.read(BLOCK_BYTES) or b"", b""))

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io.BufferedReader hands over
        """Read up to the end of the present block. Raises `FilesGone` if it has been removed."""
        start = 0
        for entry in self._row:
            offset = self._position - start
            if offset < entry.size:
                size = min(len(buffer), entry.size - offset)
                buffer[:size] = get_part(self._bucket, entry.key, offset, size)
                self._position += size
                return size
            start += entry.size
        return 0


def get_part(bucket: Bucket, key: str, offset: int, size: int) -> bytes:
    """Return `size` bytes of an object from `offset`.

    Raises
    ------
    FilesGone
        If it has been removed.
    EOFError
        If it is shorter.
    """
    data = bucket.get_range(key, offset, offset + size)
    if data is None:
        raise FilesGone("the job's files have been removed")
    if len(data) != size:
        raise EOFError("a stored file is shorter than it was")
    return data
