"""A name for every request: taken from ``X-Request-Id`` where a proxy gave one, else made; sent back, and
found in problems and logs, so that what a user reports can be looked up.
"""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "X-Request-Id"
# Anything else could forge lines of a log, or fill it.
_SANE: Final = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")
_current: ContextVar[str | None] = ContextVar("duetto_request_id", default=None)


def current_request_id() -> str | None:
    """Return the id of the request that this code runs for, None outside of one. For log records."""
    return _current.get()


class RequestId:
    """ASGI middleware: names the request in ``scope["state"]["request_id"]`` and in the answer's header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        name = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = name

        async def named_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = name
            await send(message)

        token = _current.set(name)
        try:
            await self._app(scope, receive, named_send)
        finally:
            _current.reset(token)
