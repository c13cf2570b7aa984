"""A line between a client and a server that breaks: a TCP relay that hangs up in the middle of answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable
from urllib.parse import urlsplit


class BreakingLine:
    """Relays to a server. Use as a context manager.

    Parameters
    ----------
    server_url : where the server is
    cuts : for each connection in turn, after how many bytes of its answers it is hung up on; the others are left alone
    """

    def __init__(self, server_url: str, cuts: Iterable[int] = ()) -> None:
        parts = urlsplit(server_url)
        self._server = (parts.hostname, parts.port)
        self.cuts = list(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept)
        self._connections: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> BreakingLine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes up `accept`, which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in self._connections:
            connection.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            cut = self.cuts.pop(0) if self.cuts else None
            connection = threading.Thread(target=self._relay, args=(client, cut))
            self._connections.append(connection)
            connection.start()

    def _relay(self, client: socket.socket, cut: int | None) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._server) as server:
            upwards = threading.Thread(target=_carry, args=(client, server))
            upwards.start()
            if cut == 0:
                server.recv(1)  # the server has decided, and nobody hears what
            else:
                _carry(server, client, cut)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            upwards.join()


def _carry(source: socket.socket, target: socket.socket, limit: int | None = None) -> None:
    left = limit
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16 if left is None else min(left, 1 << 16)):
            target.sendall(data)
            if left is not None:
                left -= len(data)
                if not left:
                    return
        target.shutdown(socket.SHUT_WR)
