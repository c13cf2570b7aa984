"""Launch: starts the processes that decode, one ahead.

To start one takes 0.15 s (measured), most of it for the import of NumPy and PyAV. So the next one is started when
one is taken, and waits, without having seen any upload, until it is needed: between two jobs, or while a
job looks at its frames.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

PROGRAM: tuple[str, ...] = ("-m", "worker.media.decoding")
# The most that Linux gives to anyone: some seconds of sound, so that the child decodes while the worker separates.
PIPE_BYTES: Final = 1 << 20

# All that the child sees of the worker's environment, which holds secrets.
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH")
# One thread and one arena: a second thread would keep the child from getting a user namespace, arenas cost
# address space.
_SET: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
_ROOT: Final = Path(__file__).parents[2]

Child = subprocess.Popen[bytes]


class _Spare:
    """The child that was started ahead, if there is one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._owner: tuple[int, int, tuple[str, ...]] = (0, 0, ())

    def exchange(self, child: Child | None) -> Child | None:
        """Put `child` in the place of the one that is there, and return that if this thread can use it."""
        owner = (os.getpid(), threading.get_native_id(), PROGRAM)
        with self._lock:
            before, whose = self._child, self._owner
            self._child, self._owner = child, owner
        if before is None or whose[0] != owner[0]:
            # This process was forked with it: it is the other's.
            return None
        # It ends with the thread that started it (`decoding.confinement.die_with`).
        if whose != owner or before.poll() is not None:
            ended(before)
            return None
        return before


_spare = _Spare()


def started() -> Child:
    """Return a child that waits for its request, and start another."""
    child = _spare.exchange(None) or _new()
    surplus = _spare.exchange(_new())
    if surplus is not None:
        ended(surplus)
    return child


def ended(child: Child, patience_s: float = 0.0) -> int:
    """End a child, close the pipes and return its exit status. One that is dying already is given `patience_s`."""
    if patience_s:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience_s)
    if child.poll() is None:
        child.kill()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    return child.wait()


def _new() -> Child:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _SET
    return subprocess.Popen(  # noqa: S603 - nothing in it comes from a user
        # -P, -s: no module of the current folder or of the home is taken for one of ours.
        [sys.executable, "-P", "-s", *PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment | {"PYTHONPATH": str(_ROOT)},
        # Ctrl-C is for the worker, which ends the child.
        start_new_session=True,
        bufsize=0,
        pipesize=PIPE_BYTES,
    )


@atexit.register
def _end_spare() -> None:
    child = _spare.exchange(None)
    if child is not None:
        ended(child)
