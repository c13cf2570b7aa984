"""A file that is being downloaded: what has come of it, of which version it is, and whether it is whole.

What has come waits in a hidden file beside the destination, whose name says which version of which file it is; so
a later call can go on, and never glues two versions together.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from duetto._errors import DamagedDownload, InvalidAnswer, UnusableFile

_PARTIAL_CONTENT: Final = 206
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_SHA256: Final = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):")


class PartialFile:
    """One download, over as many connections as it takes. Every method but `headers` reads or writes files.

    Parameters
    ----------
    dest : where the file goes once it is whole
    url : what is downloaded
    """

    def __init__(self, dest: Path, url: str) -> None:
        self.dest = dest
        self._url = url
        self._path: Path | None = None
        self._etag: str | None = None
        self._sha256: bytes | None = None
        self.received = 0
        self.size: int | None = None  # in bytes, once the server has said so

    @property
    def fraction(self) -> float:
        """How much has come, 0 to 1; 0 where the server does not say how much there is."""
        return self.received / self.size if self.size else 0.0

    @property
    def headers(self) -> dict[str, str]:
        """The header fields of the next request: for the rest, if that is all that is missing."""
        headers = {"Accept-Encoding": "identity"}  # ranges count the bytes of the file itself
        if self.received and self._etag:
            # Without If-Range, the rest of another version could be glued to the start of this one.
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self._etag}
        return headers

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Look at an answer's head; return whether its body is wanted.

        It is not if an earlier call has left the beginning of this very version: then ask again, for the rest.

        Raises
        ------
        UnusableFile
            If nothing can be written there.
        InvalidAnswer
            If the answer is of another range than was asked for.
        """
        etag = headers.get("ETag", "")
        self._etag = None if not etag or etag.startswith("W/") else etag
        digest = _SHA256.search(headers.get("Repr-Digest", ""))
        self._sha256 = _decoded(digest[1]) if digest else None
        if status == _PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            if found is None or int(found[1]) != self.received:
                raise InvalidAnswer(f"asked for the rest of {self.dest.name}, the server sent another part of it")
            self.size = int(found[3])
            return True
        length = headers.get("Content-Length", "")
        encoded = headers.get("Content-Encoding", "identity") != "identity"
        self.size = int(length) if length.isdigit() and not encoded else None
        with self._files():
            self.dest.parent.mkdir(parents=True, exist_ok=True)
            is_first, old, self._path = self._path is None, self._path, self._path_of_version()
            if old not in (None, self._path):
                old.unlink(missing_ok=True)
            if is_first and self._etag and self._path.exists():
                self.received = self._path.stat().st_size
                if 0 < self.received < (self.size or 0):
                    return False
            self.received = 0
            self._path.write_bytes(b"")
        return True

    def write(self, data: bytes) -> None:
        """Add what has come. Raises `UnusableFile` if it cannot be written."""
        if self._path is None:
            raise ValueError("begin first")
        try:
            with self._files(), self._path.open("ab") as file:
                file.write(data)
        except UnusableFile:
            # The disk is full, most likely; what is there would only keep it so.
            self._path.unlink(missing_ok=True)
            raise
        self.received += len(data)

    def finish(self) -> None:
        """Check that the file is what the server has, and move it to its place.

        Raises
        ------
        DamagedDownload
            If it is not; what has come is gone then.
        UnusableFile
            If it cannot be read or moved.
        """
        if self._path is None:
            raise ValueError("begin first")
        with self._files():
            if self.size not in (None, self.received):
                self._damaged(f"{self.received} bytes came instead of {self.size}")
            if self._sha256 is not None:
                with self._path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").digest()
                if found != self._sha256:
                    self._damaged("its digest is not the one that the server has sent")
            self._path.replace(self.dest)

    def _damaged(self, reason: str) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self.received = 0
        raise DamagedDownload(f"{self.dest.name} was damaged on its way: {reason}. Try again.")

    def _path_of_version(self) -> Path:
        version = hashlib.sha256(f"{self._url}\n{self._etag}".encode()).hexdigest()[:16]
        return self.dest.with_name(f".{self.dest.name}.{version}.part")

    @contextmanager
    def _files(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnusableFile(f"cannot write {self.dest}: {error.strerror}") from error


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
