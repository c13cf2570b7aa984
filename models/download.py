"""Fetch one file over HTTP: with checksum, progress and time limits, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx

from models.errors import WeightsUnavailable

Progress = Callable[[int, int | None], None]

CONNECT_TIMEOUT = 5.0  # s; a machine without a way out finds that out soon
READ_TIMEOUT = 30.0  # s without a single byte
_CHUNK = 1 << 20  # bytes


def fetch(url: str, target: Path, *, sha256_prefix: str, progress: Progress | None = None) -> None:
    """Download `url` to `target`.

    Processes that want the same file wait for the first one. A file with a wrong checksum is dropped.

    Parameters
    ----------
    url : str
    target : Path
    sha256_prefix : str
        The first digits, at least, of the SHA-256 in hexadecimal.
    progress : callable, optional
        Called with (bytes done, bytes in all or None).

    Raises
    ------
    WeightsUnavailable
        If the server cannot be reached, answers with an error, or sends something else.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_file():
            return
        try:
            digest = _stream(url, partial, progress)
            if not digest.startswith(sha256_prefix.lower()):
                raise WeightsUnavailable(
                    f"{target.name} came with SHA-256 {digest[:16]}..., wanted is {sha256_prefix}...; "
                    "something between here and the server changes it: get the file another way"
                )
            partial.replace(target)
        except (httpx.HTTPError, OSError) as error:
            raise WeightsUnavailable(
                f"{target.name} could not be downloaded ({type(error).__name__}); "
                "check the network, or put the file into the cache folder by hand"
            ) from error
        finally:
            partial.unlink(missing_ok=True)


def _stream(url: str, partial: Path, progress: Progress | None) -> str:
    digest = hashlib.sha256()
    timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    with (
        httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as response,
        partial.open("wb") as file,
    ):
        response.raise_for_status()
        length = response.headers.get("Content-Length")
        done = 0
        for chunk in response.iter_bytes(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, int(length) if length else None)
    return digest.hexdigest()
