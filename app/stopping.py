"""What a server that is to stop owes to those who wait for an answer: one that says how things stand."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServerStopping
from app.problems import answer_to

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_RETRY_AFTER_S: Final = 5  # a restart takes some seconds


@contextmanager
def told_of_stop(tell: Callable[[], None]) -> Iterator[None]:
    """Have the running event loop call `tell` when SIGINT or SIGTERM comes; then the server hears of it as ever.

    ASGI would tell only once every connection has ended. Where the server is not in the main thread no signal comes,
    and `tell` is not called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    # A signal that nobody handles ends the process at once, and is left to.
    servers = {signum: handler for signum in _SIGNALS if callable(handler := signal.getsignal(signum))}

    def on_signal(signum: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)
        servers[signal.Signals(signum)](signum, frame)

    for signum in servers:
        signal.signal(signum, on_signal)
    try:
        yield
    finally:
        for signum, handler in servers.items():
            signal.signal(signum, handler)


class AnswerCutOff:
    """ASGI middleware: answers a request that a stopping server gives up on, such as a slow upload, with 503."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def watched_send(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except asyncio.CancelledError:
            # A server cancels for no other reason. What has begun can only break off.
            if has_begun:
                raise
            detail = "the server stops before all of the request was here; send it again in a moment"
            error = ServerStopping(detail, retry_after_s=_RETRY_AFTER_S)
            await answer_to(Request(scope), error)(scope, receive, send)
