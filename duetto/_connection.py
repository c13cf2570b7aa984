"""What the client asks of the network: one interface, with two implementations over httpx.

All that the client does is written once, as coroutines over this interface (duetto/_session.py). A blocking
connection's coroutines never suspend, so they need no event loop (duetto/_blocking.py).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from duetto._form import Form
from duetto._progress import Progress

T = TypeVar("T")

DEFAULT_SERVER: Final = "http://127.0.0.1:8000"

Listener = Callable[[Progress], Any]
"""What `on_progress` is; an asynchronous connection waits for what it returns, if that can be waited for."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call. `path` is below the server's address; `sent` hears how much of `form` is sent, 0 to 1."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    form: Form | None = None
    sent: Callable[[float], Coroutine[Any, Any, None]] | None = None
    silence_s: float | None = None  # the longest silence of the server; None: the connection's


class Answer(Protocol):
    """What came: the head at once, the body as it is read."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]  # names in any case

    async def read(self) -> bytes:
        """Return the whole body."""
        ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes in."""
        ...


class Connection(Protocol):
    """The way to one server, and what differs between waiting and blocking."""

    def open(self, request: Request) -> AbstractAsyncContextManager[Answer]:
        """Send a request; hold the answer open meanwhile. Both raise `ServerUnreachable`, `InvalidAnswer`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def work(self, function: Callable[[], T]) -> T:
        """Return what `function`, which reads or writes files, returns."""
        ...

    async def tell(self, listener: Listener, progress: Progress) -> None:
        """Call `listener`."""
        ...

    async def last_words(self, words: Callable[[], Awaitable[object]]) -> None:
        """Await `words()`, for some seconds, even if the task is being canceled."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
