"""The service as docker-compose.yml runs it: broker, API and two workers apart, each started again when it dies."""

from __future__ import annotations

import contextlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import redis

from app.broker import connect
from app.embedded import LOOPBACK, EmbeddedValkey, free_port
from app.settings import Settings
from app.stack import ROOT_WARNING_FILTER, WORKER_APP, worker_environment
from app.supervisor import FIRST_BACKOFF_S, Child, Supervisor
from tests.chaos.processes import children, is_running

WORKERS: Final = 2
API_GRACE_S: Final = 10.0
WORKER_GRACE_S: Final = 30.0
PATIENCE_S: Final = 120.0  # a busy machine needs some seconds to import torch, several times over
STEP_S: Final = 0.05


class NotBack(Exception):  # noqa: N818 - named for what happened
    """A process that was killed is not there again."""


class Service:
    """Broker, API and two workers. A context manager: all up on entering, all gone on leaving.

    Attributes
    ----------
    url : str
        Where the API answers, the same after each restart.
    settings : Settings
        What API and workers run with.
    logs : Path
        A folder with what each of them printed.
    """

    def __init__(self, folder: Path, **more: Any) -> None:
        """`folder` takes data and logs; `more` are settings."""
        self.logs = folder / "logs"
        self.settings = Settings(
            data_dir=folder / "data",
            cache_dir=folder / "cache",
            host=LOOPBACK,
            port=free_port(),
            workers=1,
            threads=1,
            tagger="efficientnet-lite2",
            offline=True,
            redis_url=None,
            **more,
        )
        self.url = f"http://{LOOPBACK}:{self.settings.port}"
        self._cleanup = contextlib.ExitStack()
        self._parts: dict[str, Supervisor] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _start(self) -> None:
        self.logs.mkdir(parents=True)
        # Killed on purpose every few seconds, they have not failed so often that a restart should wait ever longer.
        self._broker = EmbeddedValkey(self.settings.data_dir, longest_backoff_s=FIRST_BACKOFF_S)
        self._cleanup.enter_context(self._broker)
        self.settings = self.settings.model_copy(update={"redis_url": self._broker.url})
        self.redis = connect(self.settings)
        self._cleanup.callback(self.redis.close)
        for number in range(WORKERS):
            self.start_worker(number)
        self._run("api", _api_command(self.settings), API_GRACE_S)
        self.await_up()

    def start_worker(self, number: int) -> None:
        """Start one of the two, counted from 0, which does not run."""
        name = _worker(number)
        self._run(name, _worker_command(f"{name}@{platform.node() or 'localhost'}"), WORKER_GRACE_S)

    def stop_worker(self, number: int) -> None:
        """Stop one of the two as a deploy would."""
        self._parts.pop(_worker(number)).stop()

    def _run(self, name: str, command: Sequence[str], grace_s: float) -> None:
        environment = worker_environment(self.settings)
        run_dir = self.settings.data_dir / "run"
        run_dir.mkdir(exist_ok=True)
        log = self._cleanup.enter_context((self.logs / f"{name}.log").open("ab"))

        def start() -> Child:
            return Child(command, env=environment, cwd=run_dir, stdout=log, stderr=subprocess.STDOUT, grace_s=grace_s)

        part = Supervisor(name, start, longest_backoff_s=FIRST_BACKOFF_S)
        self._parts[name] = part
        # A second `stop` does nothing.
        self._cleanup.callback(part.stop)

    @property
    def api_pid(self) -> int:
        """Process id of the API."""
        return self._parts["api"].pid

    @property
    def broker_pid(self) -> int:
        """Process id of the broker."""
        return self._broker.pid

    def worker_pid(self, number: int) -> int:
        """Process id of the parent process of a worker."""
        return self._parts[_worker(number)].pid

    def worker_children(self, number: int) -> list[int]:
        """Process ids of the processes of a worker that run jobs."""
        return children(self.worker_pid(number))

    def await_up(self, killed: Sequence[int] = ()) -> None:
        """Return once every part is there, and none of it is a process of `killed`.

        Raises
        ------
        NotBack
            After `PATIENCE_S`.
        """
        deadline = time.monotonic() + PATIENCE_S
        for what, is_there in self._checks(frozenset(killed)):
            while not is_there():
                if time.monotonic() > deadline:
                    raise NotBack(f"{what} is not there {PATIENCE_S:.0f} s after it was killed; see {self.logs}")
                time.sleep(STEP_S)

    def _checks(self, killed: frozenset[int]) -> list[tuple[str, Callable[[], bool]]]:
        def has_children(number: int) -> bool:
            pids = self.worker_children(number)
            return bool(pids) and not killed & {self.worker_pid(number), *pids}

        checks: list[tuple[str, Callable[[], bool]]] = [
            ("the broker", lambda: self.broker_pid not in killed and self._broker_answers()),
            ("the API", lambda: self.api_pid not in killed and self._api_answers()),
        ]
        running = [number for number in range(WORKERS) if _worker(number) in self._parts]
        return checks + [(_worker(number), partial(has_children, number)) for number in running]

    def _broker_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.exceptions.RedisError:
            return False

    def _api_answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5.0, trust_env=False).is_success
        except httpx.TransportError:
            return False


def await_gone(pids: Sequence[int]) -> None:
    """Return once none of these processes runs. Raises `NotBack` after `PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while any(map(is_running, pids)):
        if time.monotonic() > deadline:
            raise NotBack(f"processes {pids} do not end")
        time.sleep(STEP_S)


def _worker(number: int) -> str:
    return f"worker-{number + 1}"


def _api_command(settings: Settings) -> list[str]:
    return [
        sys.executable, "-P", "-m", "uvicorn", "app.main:create_app", "--factory", "--host", settings.host,
        "--port", str(settings.port), "--no-server-header", "--timeout-graceful-shutdown", "5",
        "--log-level", "warning",
    ]  # fmt: skip


def _worker_command(name: str) -> list[str]:
    return [
        sys.executable, "-P", "-W", ROOT_WARNING_FILTER, "-m", "celery", "-A", WORKER_APP, "worker",
        "--hostname", name, "--loglevel", "WARNING", "--without-gossip", "--without-mingle",
    ]  # fmt: skip
