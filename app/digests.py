"""Digests of published files. They are computed once, by who publishes (app/storage/manifest.py)."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
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
