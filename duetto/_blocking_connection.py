"""The connection of :class:`duetto.Client`: it blocks where another one would wait, so its coroutines never suspend."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx

from duetto._blocking import run
from duetto._connection import Answer, Listener, Request
from duetto._form import Form
from duetto._httpx import client_arguments, request_arguments, translated
from duetto._progress import Progress

T = TypeVar("T")


class BlockingAnswer:
    """An answer of an httpx client that blocks."""

    def __init__(self, response: httpx.Response, server: str) -> None:
        self._response = response
        self._server = server
        self.url = str(response.url)
        self.status = response.status_code
        self.reason = response.reason_phrase
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        """Return the whole body."""
        with translated(self._server):
            return self._response.read()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes in."""
        with translated(self._server):
            for chunk in self._response.iter_bytes():
                yield chunk


class BlockingConnection:
    """The way to one server, over an httpx client that blocks. The parameters are those of :class:`duetto.Client`."""

    def __init__(self, server: str, api_key: str | None, timeout_s: float) -> None:
        self._server = server
        self._http = httpx.Client(**client_arguments(server, api_key, timeout_s))

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[Answer]:
        """Send a request; hold the answer open meanwhile."""
        with translated(self._server):
            response = self._http.send(
                self._http.build_request(**request_arguments(request, self._http.timeout), content=_body(request)),
                stream=True,
            )
        try:
            yield BlockingAnswer(response, self._server)
        finally:
            response.close()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def work(self, function: Callable[[], T]) -> T:
        """Return what `function` returns."""
        return function()

    async def tell(self, listener: Listener, progress: Progress) -> None:
        """Call `listener`."""
        listener(progress)

    async def last_words(self, words: Callable[[], Awaitable[object]]) -> None:
        """Await `words()`."""
        await words()

    async def close(self) -> None:
        """Close all connections."""
        self._http.close()


def _body(request: Request) -> Iterator[bytes] | None:
    return None if request.form is None else _blocks(request.form, request.sent)


def _blocks(form: Form, sent: Callable[[float], Coroutine[Any, Any, None]] | None) -> Iterator[bytes]:
    for block, fraction in form.blocks():
        yield block
        if sent is not None:
            run(sent(fraction))
