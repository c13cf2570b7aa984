"""Keeps the C library from holding on to memory that a process has freed.

glibc gives each thread a heap of its own, and returns to the system only what is free at a heap's end. Uploads and
answers pass through many threads, so what lies there free and apart grew by some MiB over thousands of jobs, while what
is in use stayed the same (docs/benchmarks.md). In a worker's child, windows of sound do the same, and faster.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Final

# mallopt's names for them, from glibc's malloc.h.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
_ARENAS: Final = 2
# glibc's own value to begin with; set, it stays, where it would else grow with each large block that is freed.
_THRESHOLD_BYTES: Final = 128 << 10


def keep_heap_small() -> None:
    """Let all threads share two heaps, and large blocks go back when they are freed. Without glibc, do nothing."""
    mallopt = _of_glibc("mallopt")
    for option, value in (
        (_ARENA_MAX, _ARENAS), (_MMAP_THRESHOLD, _THRESHOLD_BYTES), (_TRIM_THRESHOLD, _THRESHOLD_BYTES),
    ):  # fmt: skip
        mallopt(option, value)


def give_back() -> None:
    """Return to the system what lies free anywhere in the heaps now. Without glibc, do nothing."""
    _of_glibc("malloc_trim")(0)


def _of_glibc(name: str) -> Callable[..., object]:
    """That function of glibc's; one that does nothing on another system or C library."""
    found = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    return found or (lambda *_: None)
