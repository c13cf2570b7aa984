"""The service under test in a process of its own, so that its memory is nobody else's.

``python -m tests.fuzz.service`` runs it, with the settings of the environment, until its input ends; it says
where it is in a line of JSON, and again whenever it gets a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings import MIB, Settings
from app.stack import running_stack, worker_environment

ROOT = Path(__file__).resolve().parents[2]
KIB_A_MIB = 1024


@dataclass(frozen=True)
class Service:
    """A running service.

    Attributes
    ----------
    url : where its API answers
    data_dir : where it keeps its files
    redis_url : its broker's address, password included
    api_pid, worker_pid : of the web process and of Celery's main process
    """

    url: str
    data_dir: Path
    redis_url: str
    api_pid: int
    worker_pid: int
    worker_log: Path
    process: subprocess.Popen[str]

    def place(self) -> Mapping[str, Any]:
        """Return `url`, `worker_pid` and `restarts` as they are now."""
        return _ask(self.process)

    def worker_children(self) -> set[int]:
        """Return the processes that take jobs."""
        return set(children_of(self.worker_pid))

    def memory_mib(self) -> tuple[float, float]:
        """Return what the web process and the worker's tree hold in memory, shared pages shared out."""
        tree = {self.worker_pid, *descendants_of(self.worker_pid)}
        return proportional_mib(self.api_pid), sum(map(proportional_mib, tree))


@contextlib.contextmanager
def running_service(settings: Settings) -> Iterator[Service]:
    """Run the service with `settings`; all of it is gone on leaving."""
    environment = worker_environment(settings) | {"PYTHONPATH": str(ROOT), "DUETTO_PORT": "0"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.service"],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            place = _answer(process)
            yield Service(
                url=place["url"],
                data_dir=settings.data_dir,
                redis_url=place["redis_url"],
                api_pid=process.pid,
                worker_pid=place["worker_pid"],
                worker_log=settings.data_dir / "worker.log",
                process=process,
            )
        finally:
            assert process.stdin is not None
            process.stdin.close()


def proportional_mib(pid: int) -> float:
    """Return the MiB of memory that a process holds, its part of what it shares; 0 if it is no more."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / KIB_A_MIB


def resident_mib(pid: int) -> float:
    """Return the MiB of memory that a process has resident; 0 if it is no more."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def children_of(pid: int) -> list[int]:
    """Return the direct children of all threads of a process."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, listing.read_text(encoding="ascii").split())
    return found


def descendants_of(pid: int) -> set[int]:
    """Return every process below `pid`, itself left out."""
    found: set[int] = set()
    new = {pid}
    while new:
        new = {child for parent in new for child in children_of(parent)} - found
        found |= new
    return found


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the service ended; its words are above"
    answer: dict[str, Any] = json.loads(line)
    return answer


def _ask(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return _answer(process)


def main() -> None:
    """Serve until standard input ends."""
    with running_stack(Settings()) as stack:

        def tell() -> None:
            place = {"url": stack.url, "redis_url": stack.redis_url, "worker_pid": stack.worker_pid}
            print(json.dumps(place | {"restarts": stack.worker.restarts}), flush=True)

        tell()
        for _ in sys.stdin:
            tell()


if __name__ == "__main__":
    main()
