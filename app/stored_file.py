"""Stored files as those who send them on see them: a name, a digest, and bytes from any place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from app.digests import Digest

READ_BYTES: Final = 1 << 18

# From the first byte of a range and the one after its last to its bytes, in blocks.
RangeReader = Callable[[int, int], Iterator[bytes]]


class StoredFile(Protocol):
    """A file that will not change."""

    @property
    def name(self) -> str:
        """What it is called: flat, ASCII."""

    @property
    def digest(self) -> Digest:
        """Its size and what identifies its content."""

    def open(self) -> AbstractContextManager[RangeReader]:
        """Open it for reading.

        Reading raises `EOFError` if it is shorter than it was, `FilesGone` or `StorageUnavailable` if it is away.
        """


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine. Open, it can be read to its end even if it is removed meanwhile."""

    path: Path
    digest: Digest

    @property
    def name(self) -> str:
        """What it is called."""
        return self.path.name

    @contextmanager
    def open(self) -> Iterator[RangeReader]:
        """Open it. Raises `OSError` if that cannot be."""
        with self.path.open("rb") as file:

            def read(start: int, stop: int) -> Iterator[bytes]:
                file.seek(start)
                left = stop - start
                while left > 0:
                    block = file.read(min(READ_BYTES, left))
                    if not block:
                        raise EOFError("a published file is shorter than it was")
                    left -= len(block)
                    yield block

            yield read
