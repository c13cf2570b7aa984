"""The embedded broker: what it has acknowledged survives, one folder has one server, none is left over."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from app import embedded
from app.embedded import BrokerNotStarted, DataDirInUse, EmbeddedValkey

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0

OWNER = """
import sys, time
from pathlib import Path
from app.embedded import EmbeddedValkey
broker = EmbeddedValkey(Path(sys.argv[1]))
broker.start()
print(broker.pid, broker.url, flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def client_of(url: str) -> Iterator[redis.Redis]:
    with contextlib.closing(redis.Redis.from_url(url, socket_timeout=5)) as client:
        yield client


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while runs(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def test_data_survive_a_clean_restart(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as broker:
        first_url, pid = broker.url, broker.pid
        with client_of(broker.url) as client:
            client.set("key", "value")
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    wait_until_gone(pid)
    with EmbeddedValkey(tmp_path) as broker, client_of(broker.url) as client:
        assert client.get("key") == b"value"
        assert broker.url != first_url


def test_killed_server_comes_back_at_the_same_address_with_its_data(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as broker, client_of(broker.url) as client:
        client.set("key", "value")
        killed = broker.pid
        os.kill(killed, signal.SIGKILL)
        wait_until_gone(killed)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert client.get("key") == b"value"
                break
            except redis.exceptions.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert broker.pid != killed


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs an embedded broker in `tmp_path`."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_killed_owner_leaves_no_server_and_loses_no_data(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    assert owner.stdout is not None
    pid, url = owner.stdout.readline().split()
    with client_of(url) as client:
        client.set("key", "value")
    owner.kill()
    # No waiting for the old server: its lock must make the new one wait.
    with EmbeddedValkey(tmp_path) as broker, client_of(broker.url) as client:
        assert not runs(int(pid))
        assert client.get("key") == b"value"


def test_second_server_on_one_folder_is_refused(
    tmp_path: Path, owner: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.1)
    assert owner.stdout is not None
    _, url = owner.stdout.readline().split()
    with pytest.raises(DataDirInUse, match=rf"process {owner.pid}\) already uses .* --data"):
        EmbeddedValkey(tmp_path).start()
    with client_of(url) as client:
        assert client.ping()


def test_only_its_owner_gets_in(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as broker:
        config = tmp_path / "valkey" / "valkey.conf"
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert b"requirepass" not in Path(f"/proc/{broker.pid}/cmdline").read_bytes()
        address = broker.url.rpartition("@")[2]
        with client_of(f"redis://{address}") as client, pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()
    assert not config.exists()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BrokerNotStarted, match=r"cannot be written.*--data"):
        EmbeddedValkey(tmp_path / "file").start()


def test_damaged_log_is_reported_and_the_folder_released(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as broker, client_of(broker.url) as client:
        client.set("key", "value")
    manifest = next((tmp_path / "valkey" / "appendonlydir").glob("*.manifest"))
    intact = manifest.read_text()
    manifest.write_text("nonsense\n")
    with pytest.raises(BrokerNotStarted, match="did not start"):
        EmbeddedValkey(tmp_path).start()
    manifest.write_text(intact)
    with EmbeddedValkey(tmp_path) as broker, client_of(broker.url) as client:
        assert client.get("key") == b"value"


def test_stop_twice(tmp_path: Path) -> None:
    broker = EmbeddedValkey(tmp_path)
    broker.start()
    broker.stop()
    broker.stop()
