"""The body of an upload: multipart/form-data (RFC 7578), read from its files block by block."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from duetto._errors import UnusableFile

_BLOCK_BYTES: Final = 1 << 18
# As the HTML standard has browsers write names: nothing in them can end the header.
_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class Form:
    """Fields and files, on their way to a server. May be read several times, each time from the beginning.

    Parameters
    ----------
    fields : text by name
    files : pairs of a field's name and the file that goes there

    Raises
    ------
    UnusableFile
        If a file is none, or cannot be read.
    """

    def __init__(self, fields: Mapping[str, str], files: Sequence[tuple[str, Path]]) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts: list[bytes | tuple[Path, int]] = []
        text = b""
        for name, value in fields.items():
            text += self._head(f'name="{_escaped(name)}"') + value.encode("utf-8", "replace") + b"\r\n"
        for name, path in files:
            head = (
                f'name="{_escaped(name)}"; filename="{_escaped(path.name)}"\r\nContent-Type: application/octet-stream'
            )
            self._parts += [text + self._head(head), (path, _size_of(path))]
            text = b"\r\n"
        self._parts.append(text + f"--{self._boundary}--\r\n".encode())

    @property
    def headers(self) -> dict[str, str]:
        """The header fields that go with it."""
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(self.size),
        }

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return sum(len(part) if isinstance(part, bytes) else part[1] for part in self._parts)

    def blocks(self) -> Iterator[tuple[bytes, float]]:
        """Yield it, in blocks of 256 KiB at most, each with how much of it all has come then, 0 to 1.

        Raises
        ------
        UnusableFile
            If a file cannot be read, or has changed its length.
        """
        size, done = self.size, 0
        for part in self._parts:
            for block in (part,) if isinstance(part, bytes) else _blocks_of(*part):
                done += len(block)
                yield block, done / size

    def _head(self, disposition: str) -> bytes:
        return f"--{self._boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode("utf-8", "replace")


def _escaped(name: str) -> str:
    return name.translate(_ESCAPES)


def _size_of(path: Path) -> int:
    try:
        if path.is_dir():
            raise UnusableFile(f"{path} is a folder; give a file")
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UnusableFile(f"cannot read {path}: {error.strerror}") from error


def _blocks_of(path: Path, size: int) -> Iterator[bytes]:
    left = size
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                left -= len(block)
                if left < 0:
                    break
                yield block
    except OSError as error:
        raise UnusableFile(f"cannot read {path}: {error.strerror}") from error
    # The length was announced; what comes instead would be taken for the next part.
    if left:
        raise UnusableFile(f"{path} has changed while it was sent; try again when it is complete")
