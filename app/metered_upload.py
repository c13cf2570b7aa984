"""The files of an upload, counted while they are sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from app.remote import UnusableFile

UploadProgress = Callable[[int, int], None]
"""Called with bytes sent so far and bytes in all."""


class Meter:
    """Counts what has been read of all the files of one upload."""

    def __init__(self, total: int, report: UploadProgress | None) -> None:
        self._total = total
        self._sent = 0
        self._report = report

    def add(self, count: int) -> None:
        """Count so many bytes."""
        self._sent += count
        if self._report:
            self._report(self._sent, self._total)


class MeteredFile:
    """What httpx reads an upload from: the file, with every read counted."""

    def __init__(self, file: IO[bytes], meter: Meter) -> None:
        self._file = file
        self._meter = meter

    def read(self, size: int = -1) -> bytes:
        """Read, and count."""
        data = self._file.read(size)
        self._meter.add(len(data))
        return data

    def fileno(self) -> int:
        """As the file: httpx asks for its size by it."""
        return self._file.fileno()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As the file."""
        return self._file.tell()


def open_upload(path: Path) -> IO[bytes]:
    """Open a file to be sent. Raises `UnusableFile` if it cannot be read."""
    try:
        if path.is_dir():
            raise UnusableFile(f"{path} is a folder; give a file")
        return path.open("rb")
    except OSError as error:
        raise UnusableFile(f"cannot read {path}: {error.strerror}") from error


def size_of(file: IO[bytes]) -> int:
    """Return the bytes in an open file."""
    return os.fstat(file.fileno()).st_size
