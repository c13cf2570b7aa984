"""Starting programs that `duetto` needs (broker, worker), keeping them up, and never leaving one behind."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from app import guardian

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
STEADY_AFTER_S = 60.0  # a program that ran this long has recovered: its next restart waits FIRST_BACKOFF_S again
REAP_S = 10.0  # a guardian that was told to kill at once has this long to obey


class Child:
    """One running program under a guardian (app/guardian.py), in a process group of its own.

    Raises
    ------
    OSError
        If the program cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: IO[bytes] | int | None = None,
        stderr: IO[bytes] | int | None = None,
        grace_s: float = 10.0,
        keep_fds: Sequence[int] = (),
    ) -> None:
        status_read, status_write = os.pipe()
        try:
            self._guardian = subprocess.Popen(  # noqa: S603 - our own command line
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(Path(guardian.__file__).resolve()),
                    str(grace_s),
                    str(status_write),
                    ",".join(map(str, keep_fds)) or "-",
                    "--",
                    *command,
                ],
                stdin=subprocess.PIPE,
                bufsize=0,
                stdout=stdout,
                stderr=stderr,
                env=None if env is None else dict(env),
                cwd=cwd,
                pass_fds=(status_write, *keep_fds),
                start_new_session=True,  # a Ctrl-C at the terminal must reach `duetto` alone
            )
        except BaseException:
            os.close(status_read)
            raise
        finally:
            os.close(status_write)
        assert self._guardian.stdin is not None  # noqa: S101 - PIPE above
        self._lifeline = self._guardian.stdin
        self._finishing = threading.Lock()
        self._exit_status: int | None = None
        self._status = os.fdopen(status_read, encoding="ascii", errors="replace")
        word, _, value = self._status.readline().strip().partition(" ")
        if word != "pid":
            self._finish()
            raise OSError(f"{command[0]} did not start: {value or 'its guardian died'}")
        self.pid = int(value)

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the program and all it started to end; return its exit status.

        Negative: the signal that ended it. None: it still runs after `timeout_s` seconds.
        """
        try:
            self._guardian.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return self._finish()

    def request_stop(self) -> None:
        """Ask the program to stop (SIGTERM; SIGKILL after its grace). Returns at once."""
        self._order(guardian.STOP)

    def kill(self) -> None:
        """End the program and all it started at once."""
        self._order(guardian.KILL)
        if self.wait(REAP_S) is None:
            raise OSError(f"the guardian of process {self.pid} does not obey")

    def _order(self, order: bytes) -> None:
        # A guardian that has ended already has nothing left to do.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._lifeline.write(order)

    def _finish(self) -> int:
        with self._finishing:
            if self._exit_status is None:
                guardian_status = self._guardian.wait()
                with self._status, self._lifeline:
                    word, _, value = self._status.read().strip().partition(" ")
                self._exit_status = int(value) if word == "exit" else guardian_status
            return self._exit_status


class Supervisor:
    """Keeps one program running: starts it, and starts it again, ever more patiently, when it ends unasked.

    `start` makes a new :class:`Child`. The first one is made in the constructor, so its errors reach the caller.
    A restart waits `longest_backoff_s` at most.
    """

    def __init__(self, name: str, start: Callable[[], Child], *, longest_backoff_s: float = LONGEST_BACKOFF_S) -> None:
        self._name = name
        self._start = start
        self._longest_backoff_s = longest_backoff_s
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._child = start()
        self.restarts = 0
        self._thread = threading.Thread(target=self._watch, name=f"supervise-{name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Process id of the program that runs now (of the last one, between two)."""
        return self._child.pid

    def _watch(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            started = time.monotonic()
            status = self._child.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - started >= STEADY_AFTER_S:
                backoff_s = FIRST_BACKOFF_S
            log.warning("the %s ended unasked (status %s); starting it again in %.1f s", self._name, status, backoff_s)
            if not self._restart_after(backoff_s):
                return
            backoff_s = min(2 * backoff_s, self._longest_backoff_s)

    def _restart_after(self, backoff_s: float) -> bool:
        """Wait, then start the program again, trying until it starts. False if asked to stop meanwhile."""
        while not self._stopping.wait(backoff_s):
            with self._lock:
                if self._stopping.is_set():
                    return False
                try:
                    self._child = self._start()
                except OSError as error:
                    log.warning("the %s could not be started: %s", self._name, error)
                    backoff_s = min(2 * backoff_s, self._longest_backoff_s)
                    continue
                self.restarts += 1
                return True
        return False

    def stop(self) -> None:
        """Stop the program, with its grace, and wait until it and all it started are gone.

        A KeyboardInterrupt while waiting ends it at once, then goes on to the caller.
        """
        with self._lock:
            self._stopping.set()
        self._child.request_stop()
        try:
            self._thread.join()
        except BaseException:
            self._child.kill()
            self._thread.join()
            raise
