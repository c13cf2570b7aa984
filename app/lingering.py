"""Answer before the upload has come, then hang up: refused bodies must not be read for ever.

A server that closes at once resets the connection, and the client may never see why it was refused.
One that goes on reading lets a single client keep it busy with an endless body. Between the two lies the
lingering close: answer, read on within limits, close (RFC 9112, section 9.6).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_BYTES: Final = 64 << 20
LINGER_S: Final = 10.0


class LingeringClose:
    """ASGI middleware. Where the answer is complete before the request is, it reads on for `linger_bytes`
    or `linger_s`, whichever is reached first, and has the connection closed.
    """

    def __init__(self, app: ASGIApp, linger_bytes: int = LINGER_BYTES, linger_s: float = LINGER_S) -> None:
        self._app = app
        self._linger_bytes = linger_bytes
        self._linger_s = linger_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        is_whole = False

        async def watched_receive() -> Message:
            nonlocal is_whole
            message = await receive()
            is_whole = is_whole or not message.get("more_body", False)
            return message

        async def lingering_send(message: Message) -> None:
            if is_whole:
                await send(message)
            elif message["type"] == "http.response.start":
                await send({**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]})
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                # The client has the whole answer with this, by its length; the server does not count it as
                # complete, and so still hands over what comes in.
                await send({**message, "more_body": True})
                await self._linger(watched_receive, lambda: is_whole)
                await send({"type": "http.response.body", "body": b""})
            else:
                await send(message)

        await self._app(scope, watched_receive, lingering_send)

    async def _linger(self, receive: Receive, is_whole: Callable[[], bool]) -> None:
        done = 0
        deadline = time.monotonic() + self._linger_s
        with anyio.move_on_after(self._linger_s):
            while not is_whole() and done < self._linger_bytes and time.monotonic() < deadline:
                done += len((await receive()).get("body", b""))


def _has_body(scope: Scope) -> bool:
    """Whether the request announces a body."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
