"""Measures every HTTP request: how many, how long, how many bytes, by route and never by path."""

from __future__ import annotations

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import families
from app.metrics.tally import Tally

# What matched no route: one label for all of them, or any stranger could make as many as they like.
NO_ROUTE: Final = "(none)"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD: Final = "(other)"
# A client that went away before it had an answer; 499 is what nginx made of it.
_NO_ANSWER: Final = 499


class MeasureRequests:
    """ASGI middleware: adds each request to a tally when it has ended, streams included."""

    def __init__(self, app: ASGIApp, tally: Tally) -> None:
        self._app = app
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status, received, sent = _NO_ANSWER, 0, 0

        async def measured_receive() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
            return message

        async def measured_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, measured_receive, measured_send)
        except Exception:
            # What nobody foresaw is answered further out.
            status = 500
            raise
        finally:
            method = scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            tally = self._tally
            tally.count(families.HTTP_REQUESTS, method, route, str(status))
            tally.observe(families.HTTP_DURATION, method, route, value=time.perf_counter() - started)
            if received:
                tally.count(families.HTTP_RECEIVED, route, amount=received)
            if sent:
                tally.count(families.HTTP_SENT, route, amount=sent)
