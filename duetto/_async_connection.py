"""The connection of :class:`duetto.AsyncClient`: it waits, and keeps files and what else blocks off the event loop."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import httpx

from duetto._connection import Answer, Listener, Request
from duetto._form import Form
from duetto._httpx import client_arguments, request_arguments, translated
from duetto._progress import Progress

T = TypeVar("T")

_LAST_WORDS_S: Final = 5.0


class AsyncAnswer:
    """An answer of an httpx client that waits."""

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
            return await self._response.aread()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes in."""
        with translated(self._server):
            async for chunk in self._response.aiter_bytes():
                yield chunk


class AsyncConnection:
    """The way to one server, over an httpx client that waits. The parameters are those of :class:`duetto.Client`."""

    def __init__(self, server: str, api_key: str | None, timeout_s: float) -> None:
        self._server = server
        self._http = httpx.AsyncClient(**client_arguments(server, api_key, timeout_s))

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[Answer]:
        """Send a request; hold the answer open meanwhile."""
        body = None if request.form is None else _blocks(request.form, request.sent)
        with translated(self._server):
            response = await self._http.send(
                self._http.build_request(**request_arguments(request, self._http.timeout), content=body), stream=True
            )
        try:
            yield AsyncAnswer(response, self._server)
        finally:
            await response.aclose()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)

    async def work(self, function: Callable[[], T]) -> T:
        """Return what `function` returns in a thread."""
        return await anyio.to_thread.run_sync(function)

    async def tell(self, listener: Listener, progress: Progress) -> None:
        """Call `listener`, and wait for what it returns if that can be waited for."""
        returned = listener(progress)
        if inspect.isawaitable(returned):
            await returned

    async def last_words(self, words: Callable[[], Awaitable[object]]) -> None:
        """Await `words()`, for some seconds, even if the task is being canceled."""
        with anyio.move_on_after(_LAST_WORDS_S, shield=True):
            await words()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


async def _blocks(form: Form, sent: Callable[[float], Coroutine[Any, Any, None]] | None) -> AsyncIterator[bytes]:
    blocks = form.blocks()
    while (step := await anyio.to_thread.run_sync(next, blocks, None)) is not None:
        block, fraction = step
        yield block
        if sent is not None:
            await sent(fraction)
