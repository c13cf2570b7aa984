"""Both clients by one interface, so that every test of one is a test of the other."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

import duetto


class Awaited:
    """`duetto.AsyncClient`, used as `duetto.Client` is: its event loop runs in a thread of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with ExitStack() as opened:
            self._portal = opened.enter_context(start_blocking_portal())
            self._client = self._portal.call(partial(duetto.AsyncClient, *args, **kwargs))
            self._opened = opened.pop_all()

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *_: object) -> None:
        self._portal.call(self._client.close)
        self._opened.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if inspect.iscoroutinefunction(method):
                return self._portal.call(partial(method, *args, **kwargs))
            return self._iterate(method(*args, **kwargs))

        return call

    def _iterate(self, generator: AsyncGenerator[Any, None]) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._portal.call(generator.__anext__)
                except StopAsyncIteration:
                    return
        finally:
            self._portal.call(generator.aclose)


both_clients = pytest.mark.parametrize("make_client", [duetto.Client, Awaited], ids=["blocking", "async"])
