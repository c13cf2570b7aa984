"""The API as `duetto serve` runs it, at a port that can be taken up again: a server that restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.settings import Settings
from app.stack import listen, make_server


@contextmanager
def serving(settings: Settings, port: int = 0) -> Iterator[int]:
    """Serve at `port` of loopback (0: a free one) and yield it; stop as a SIGTERM would have it."""
    listener = listen("127.0.0.1", port)
    server = make_server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
