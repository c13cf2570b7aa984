"""``duetto serve`` as a user meets it: one command starts everything, one signal ends all of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import duetto
from app.settings import Settings
from app.stack import Stack, running_stack

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
SERVE = """
import argparse, sys
from app.commands import serve
parser = argparse.ArgumentParser()
serve.add_arguments(parser)
status = serve.run(parser.parse_args(sys.argv[1:]))
assert not {"torch", "worker", "models"} & {name.split(".")[0] for name in sys.modules}
sys.exit(status)
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> set[int]:
    """Every process below `pid`, itself left out."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    new = {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `duetto serve` and its address."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, "--port", "0", "--data", str(tmp_path / "data")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = None
        while address is None:
            line = process.stdout.readline()
            assert line, "serve ended before it was up"
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
        yield process, address.group()
        process.kill()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_everything_cleanly(serving: tuple[subprocess.Popen[str], str], signum: int) -> None:
    process, url = serving
    assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    assert "<title>Duetto</title>" in httpx.get(url, trust_env=False).text
    # Two guardians, the broker, Celery and its one child.
    wait_for(lambda: len(descendants(process.pid)) >= 5)
    children = descendants(process.pid)
    process.send_signal(signum)
    assert process.wait(PATIENCE_S) == 0
    assert not [pid for pid in children if runs(pid)]
    assert process.stdout is not None
    assert process.stdout.read().rstrip().endswith("Stopped.")


def test_nothing_outlives_a_killed_serve(serving: tuple[subprocess.Popen[str], str]) -> None:
    process, _ = serving
    wait_for(lambda: len(descendants(process.pid)) >= 5)
    children = descendants(process.pid)
    process.kill()
    for pid in children:
        wait_for(lambda pid=pid: not runs(pid))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), port=0, redis_url=None, offline=True)
    with running_stack(settings) as stack:
        yield stack


def test_refused_uploads_come_back_as_problems(stack: Stack, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video\n" * 100)
    with duetto.Client(stack.url) as client, pytest.raises(duetto.UnsupportedMedia):
        client.submit(text)
    assert json.loads(httpx.get(f"{stack.url}/v1/jobs", trust_env=False).text)["jobs"] == []


def test_killed_worker_is_started_again(stack: Stack) -> None:
    killed = stack.worker_pid
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: stack.worker_pid != killed and runs(stack.worker_pid))
