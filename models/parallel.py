"""Pieces of work side by side, each on one thread.

Threads that share a product wait for each other many times a second, and its last bits depend on how many there are.
Pieces that are independent (windows of a recording, pictures) share nothing: they take both cores better, do not
spin where cores are busy, and give the same bits with any number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_here = threading.local()
_threads: int | None = None


def threads() -> int:
    """Return how many pieces run at a time: 1 within a piece, else what :func:`set_threads` said, else as many as
    torch has threads.
    """
    if getattr(_here, "is_piece", False):
        return 1
    return _threads or torch.get_num_threads()


def set_threads(number: int) -> None:
    """Run `number` pieces at a time in this process, and whatever is no piece on one thread."""
    global _threads  # noqa: PLW0603 - a setting of the process, as torch's is
    _threads = number
    torch.set_num_threads(1)


@contextmanager
def all_threads() -> Iterator[None]:
    """Within it, torch itself has this thread's share of the cores: for the code of others, which knows no pieces."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def begun(work: Callable[[Piece], Result], piece: Piece) -> Future[Result]:
    """Begin `work(piece)` on another thread, once one is free, and return what will hold its result; with one thread
    do it now.
    """
    number = threads()
    return _pool(number).submit(_as_piece, work, piece) if number > 1 else done(work, piece)


def done(work: Callable[[Piece], Result], piece: Piece) -> Future[Result]:
    """Do `work(piece)` now, in this thread, and return what holds its result."""
    held: Future[Result] = Future()
    held.set_result(work(piece))
    return held


def each(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> list[Result]:
    """Return `work` of every piece, in order. Raises what the first piece that fails does, once all have ended."""
    begun_ones = [begun(work, piece) for piece in pieces]
    for one in begun_ones:
        one.exception()
    return [one.result() for one in begun_ones]


def _as_piece(work: Callable[[Piece], Result], piece: Piece) -> Result:
    if not getattr(_here, "is_piece", False):
        _here.is_piece = True
        torch.set_num_threads(1)  # OpenMP's and MKL's numbers are a thread's own
    return work(piece)


@lru_cache(maxsize=1)
def _pool(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number, thread_name_prefix="piece")


# Threads do not survive a fork.
os.register_at_fork(after_in_child=_pool.cache_clear)
