"""The guardian: a tiny process between `duetto` and each program that it starts.

Run by path, with the standard library alone: ``python -I -S guardian.py GRACE_S STATUS_FD KEEP_FDS -- COMMAND...``.
It sits in a process group of its own, and so does the command; nothing of the group outlives it.

Its standard input is a lifeline held by the parent:

=====================  ====================================================================
lifeline               what the guardian does
=====================  ====================================================================
a byte ``s`` (stop)    SIGTERM to the command, SIGKILL to the group after GRACE_S seconds
a byte ``k`` (kill)    SIGKILL to the group at once
closed (parent died,   as for ``s``, after ORPHAN_GRACE_S at the latest: the broker is going
by SIGKILL even)       down as well, so nothing can be handed back
=====================  ====================================================================

On the status pipe it writes ``pid N`` once the command runs, and ``exit N`` when it has ended.

A pipe rather than PR_SET_PDEATHSIG alone, because that signal fires when the *thread* that started the
child ends, sends one signal without a grace, and exists on Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
LIFELINE_FD = 0
STOP, KILL = b"s", b"k"
ORPHAN_GRACE_S = 5.0


def _die_with_guardian() -> None:
    """Ask the kernel to end the command should the guardian itself be killed. Runs in the forked child."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _report(status_fd: int, line: str) -> None:
    # The reader may be dead: that is the very case that the guardian is for.
    with contextlib.suppress(BrokenPipeError):
        os.write(status_fd, f"{line}\n".encode())


def guard(command: list[str], *, grace_s: float, status_fd: int, keep_fds: list[int]) -> None:
    """Run `command` until it ends or the lifeline says so; then end the whole process group, this process too."""
    # Wakes select() for SIGCHLD and for the signals that ask to stop.
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    stop_signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    asked: list[int] = []

    def note(signum: int, _frame: FrameType | None) -> None:
        asked.append(signum)

    # Handlers, not SIG_IGN: an ignored signal would stay ignored in the command.
    for signum in (*stop_signals, signal.SIGCHLD):
        signal.signal(signum, note)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    try:
        child = subprocess.Popen(  # noqa: S603 - the parent's own command line
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=keep_fds,
            restore_signals=True,
            preexec_fn=_die_with_guardian,  # noqa: PLW1509 - safe: this process has one thread
        )
    except OSError as error:
        _report(status_fd, f"fail {error.strerror}")
        return
    _report(status_fd, f"pid {child.pid}")

    deadline: float | None = None
    watched = [LIFELINE_FD, wake_read]
    while child.poll() is None:
        wait_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], wait_s)
        grace_left_s: float | None = None
        if wake_read in ready:
            os.read(wake_read, 4096)
            if any(signum in stop_signals for signum in asked):
                grace_left_s = grace_s
            asked.clear()
        if LIFELINE_FD in ready:
            order = os.read(LIFELINE_FD, 1)
            if order == KILL:
                break
            grace_left_s = grace_s
            if order != STOP:
                grace_left_s = min(grace_s, ORPHAN_GRACE_S)
                watched.remove(LIFELINE_FD)
        if grace_left_s is not None:
            if deadline is None:
                child.terminate()
            until = time.monotonic() + grace_left_s
            deadline = until if deadline is None else min(deadline, until)
        if deadline is not None and time.monotonic() >= deadline:
            break
    if child.poll() is None:
        child.kill()
        child.wait()
    _report(status_fd, f"exit {child.returncode}")
    os.killpg(0, signal.SIGKILL)


def main(argv: list[str]) -> None:
    """Parse ``GRACE_S STATUS_FD KEEP_FDS -- COMMAND...`` and guard the command. `KEEP_FDS` is ``-`` or ``3,4``."""
    grace_s, status_fd, keep, separator, *command = argv
    if separator != "--" or not command:
        raise SystemExit("usage: guardian.py GRACE_S STATUS_FD KEEP_FDS -- COMMAND...")
    keep_fds = [] if keep == "-" else [int(fd) for fd in keep.split(",")]
    guard(command, grace_s=float(grace_s), status_fd=int(status_fd), keep_fds=keep_fds)


if __name__ == "__main__":
    main(sys.argv[1:])
