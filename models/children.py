"""Processes that compute beside this one: one thread each, and quiet when the user stops them.

Ctrl-C reaches a whole process group. The parent reports it; a child just ends.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def begin_child() -> None:
    """Prepare a child that :func:`interrupts_held` let start: one thread, and an end without a word at Ctrl-C."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait. Processes that are started meanwhile inherit this, until they are ready to end quietly."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
