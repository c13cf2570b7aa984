"""Digests of published files, computed once and kept beside them.

What has been published never changes, so the first request that wants a digest computes it and writes
``.<name>.digest`` beside the file; it is a cache, and a lost one is made anew.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import uuid
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Digest:
    """What identifies content: its size in bytes, its SHA-256 (hexadecimal) and its CRC-32 (as zip has it)."""

    size: int
    sha256: str
    crc32: int

    @property
    def etag(self) -> str:
        """The strong entity tag: equal for equal content, whichever machine answers."""
        return f'"{self.sha256}"'

    @property
    def field(self) -> str:
        """The value of Repr-Digest (RFC 9530)."""
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256)).decode()}:"


def digest_of(blocks: Iterable[bytes]) -> Digest:
    """Return the digest of what `blocks` make together."""
    size, crc32, sha256 = 0, 0, hashlib.sha256()
    for block in blocks:
        size += len(block)
        crc32 = zlib.crc32(block, crc32)
        sha256.update(block)
    return Digest(size, sha256.hexdigest(), crc32)


def file_digest(path: Path) -> Digest:
    """Return the digest of a published file, from beside it if it is there. Raises `OSError` if it cannot be read."""
    stat = path.stat()
    mark = f"{stat.st_size}-{stat.st_mtime_ns}"
    kept = read_kept(path, mark)
    if kept is None:
        with path.open("rb") as file:
            kept = digest_of(iter(lambda: file.read(BLOCK_BYTES), b""))
        keep(path, mark, kept)
    return kept


def read_kept(path: Path, mark: str) -> Digest | None:
    """Return the digest kept for `path`, if it was kept with the same `mark`, which stands for the content."""
    try:
        document = json.loads(_beside(path).read_text(encoding="utf-8"))
        return Digest(**document["digest"]) if document["mark"] == mark else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(path: Path, mark: str, digest: Digest) -> None:
    """Keep `digest` for `path`; where that cannot be (a full disk, a job deleted meanwhile), do nothing."""
    temporary = _beside(path).with_suffix(f".{uuid.uuid4().hex}")
    try:
        temporary.write_text(json.dumps({"mark": mark, "digest": asdict(digest)}), encoding="utf-8")
        os.replace(temporary, _beside(path))  # noqa: PTH105 - as rename, but says that it replaces
    except OSError:
        with suppress(OSError):
            temporary.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.digest")
