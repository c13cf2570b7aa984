"""Children: stopped with grace, killed without, restarted, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app import supervisor
from app.supervisor import Child, Supervisor

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0
SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
# Ignores SIGTERM and has a child of its own, whose process id it prints.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
PARENT = """
import sys, time
from app.supervisor import Child
child = Child([sys.executable, "-S", "-c", sys.argv[1]], grace_s=0.2)
print(child.pid, flush=True)
time.sleep(600)
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_exit_status_is_the_programs_own() -> None:
    assert Child([sys.executable, "-S", "-c", "raise SystemExit(3)"]).wait(PATIENCE_S) == 3


def test_program_that_is_not_there() -> None:
    with pytest.raises(OSError, match="did not start: No such file"):
        Child(["/no/such/program"])


def test_stop_is_sigterm() -> None:
    child = Child(SLEEPER)
    assert child.wait(0.01) is None
    child.request_stop()
    assert child.wait(PATIENCE_S) == -signal.SIGTERM


def test_who_ignores_sigterm_is_killed_after_its_grace_with_all_it_started(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as output:
        child = Child([sys.executable, "-S", "-c", STUBBORN], grace_s=0.2, stdout=output)
    wait_for(lambda: said.read_text().endswith("\n"))
    grandchild = int(said.read_text())
    child.request_stop()
    assert child.wait(PATIENCE_S) == -signal.SIGKILL
    wait_for(lambda: not runs(grandchild))


def test_kill_needs_no_grace(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as output:
        child = Child([sys.executable, "-S", "-c", STUBBORN], grace_s=600, stdout=output)
    wait_for(lambda: said.read_text().endswith("\n"))
    child.kill()
    wait_for(lambda: not runs(child.pid))
    wait_for(lambda: not runs(int(said.read_text())))


@pytest.mark.parametrize("program", ["import time; time.sleep(600)", STUBBORN])
def test_nothing_outlives_a_killed_parent(program: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        # The stubborn one's child prints first or second: all of them must go.
        count = 2 if program == STUBBORN else 1
        pids = [int(parent.stdout.readline()) for _ in range(count)]
        assert all(runs(pid) for pid in pids)
        parent.kill()
        for pid in pids:
            wait_for(lambda pid=pid: not runs(pid))


def test_what_dies_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF_S", 0.01)
    kept = Supervisor("sleeper", lambda: Child(SLEEPER))
    first = kept.pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: kept.restarts == 1)
    second = kept.pid
    assert second != first
    assert runs(second)
    kept.stop()
    assert not runs(second)
    assert kept.restarts == 1


def test_stop_while_it_waits_to_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF_S", 600.0)
    kept = Supervisor("short-lived", lambda: Child([sys.executable, "-S", "-c", ""]), longest_backoff_s=600.0)
    wait_for(lambda: not runs(kept.pid))
    kept.stop()
    assert kept.restarts == 0


def test_second_interrupt_while_stopping_needs_no_more_patience(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("wb") as output:
        kept = Supervisor("stubborn", lambda: Child([sys.executable, "-S", "-c", STUBBORN], grace_s=600, stdout=output))
    wait_for(lambda: said.read_text().endswith("\n"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            kept.stop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not runs(kept.pid)
    wait_for(lambda: not runs(int(said.read_text())))
