"""The real app behind a front that meddles: as proxies do, or a server in trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Meddler:
    """An ASGI app. A test sets what it does, and looks at what it saw.

    Attributes
    ----------
    refuse : answers given instead of the app's, each once: status, headers, body
    hold : paths with such an end are never answered: as proxies do that wait for the end of an event stream
    brief : how many event streams end after their first bytes
    damage : how many downloads shall have a wrong byte
    """

    app: App
    refuse: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    hold: str = ""
    brief: int = 0
    damage: int = 0
    seen: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.seen.append(Seen(scope["method"], scope["path"], headers))
        if self.refuse:
            await self._refuse(receive, send)
        elif self.hold and scope["path"].endswith(self.hold):
            while (await receive())["type"] != "http.disconnect":
                pass
        elif self.brief and scope["path"].endswith("/events"):
            self.brief -= 1
            await self.app(scope, receive, _briefly(send))
        elif self.damage and "/stems/" in scope["path"]:
            self.damage -= 1
            await self.app(scope, receive, lambda message: send(_damaged(message)))
        else:
            await self.app(scope, receive, send)

    async def _refuse(self, receive: Receive, send: Send) -> None:
        status, headers, body = self.refuse.pop(0)
        while (await receive()).get("more_body"):
            pass
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": body.encode()})

    def calls(self, method: str, ending: str = "") -> list[Seen]:
        """The requests of a method whose path ends so."""
        return [seen for seen in self.seen if seen.method == method and seen.path.endswith(ending)]


def _briefly(send: Send) -> Send:
    has_ended = False

    async def first_bytes(message: Message) -> None:
        nonlocal has_ended
        if not has_ended:
            has_ended = bool(message.get("body"))
            await send({**message, "more_body": False} if has_ended else message)

    return first_bytes


def _damaged(message: Message) -> Message:
    body = message.get("body")
    if not body:
        return message
    return {**message, "body": bytes([body[0] ^ 1]) + body[1:]}
