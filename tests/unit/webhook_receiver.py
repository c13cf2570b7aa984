"""A real HTTP server that takes webhooks, for tests: it answers as it is told to and keeps what it saw."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the specification's example


@dataclass
class Receiver:
    """What the server does and what it saw. A test changes the first and looks at the second."""

    port: int = 0
    # Status and headers, answered first, each once; then 204.
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    body: bytes = b""
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    # Set: answers wait until it is set.
    gate: threading.Event | None = None
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def url(self, host: str = "127.0.0.1", path: str = "/hook", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


def leading_to(*addresses: str) -> Callable[[str, int], tuple[str, ...]]:
    """A resolver for which every name leads to these addresses."""

    def resolve(host: str, port: int) -> tuple[str, ...]:
        return addresses

    return resolve


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
            receiver.arrived.release()
            if receiver.gate is not None:
                receiver.gate.wait()
            with contextlib.suppress(ConnectionError):  # the sender need not wait for all of it
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(receiver.body)))
                self.end_headers()
                self.wfile.write(receiver.body if status != 204 else b"")
            self.close_connection = True

        do_GET = do_POST  # noqa: N815 - the base's name; a redirect that is followed becomes a GET

    return Handler


@contextlib.contextmanager
def receiving(host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver on `host`."""
    receiver = Receiver()
    kind = type(
        "Server", (ThreadingHTTPServer,), {"address_family": socket.AF_INET6 if ":" in host else socket.AF_INET}
    )
    with kind((host, port), _handler_of(receiver)) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            if receiver.gate is not None:
                receiver.gate.set()
            server.shutdown()
            thread.join()
