"""Waiting for jobs to change: long polls and event streams share one look at Redis a step.

However many wait, and for however many jobs, each step costs one round trip: all that is waited for is
read in one pipeline. Nothing runs while nobody waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from anyio import to_thread

from app.jobs.record import Job
from app.jobs.states import JobState
from app.jobs.store import JobStore, job_not_found

# How stale an answer may be; five looks a second feel immediate.
STEP_S: Final = 0.2

Look = tuple[Job, int | None]
"""A job, and its place among those waiting (None unless queued)."""


class JobWatch:
    """Looks at jobs for everyone in this process who waits. Belongs to one event loop.

    Attributes
    ----------
    is_ending : whether waits have been ended
    """

    def __init__(self, store: JobStore, step_s: float = STEP_S) -> None:
        self._store = store
        self._step_s = step_s
        self._waiting: dict[str, list[asyncio.Future[Look]]] = {}
        self._task: asyncio.Task[None] | None = None
        self.is_ending = False

    def end_waits(self) -> None:
        """Have whoever waits, now or later, answered at the next step: the server is to stop."""
        self.is_ending = True

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits."""
        return self._task is None

    async def look(self, job_id: str) -> Look:
        """Return the job as it is now. Raises `JobNotFound`, or a `redis.RedisError`."""
        return (await to_thread.run_sync(self._read, [job_id]))[0] or _gone()

    async def next_look(self, job_id: str) -> Look:
        """Return the job as it is one step later. Raises `JobNotFound`, or a `redis.RedisError`."""
        future: asyncio.Future[Look] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, []).append(future)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def wait(
        self,
        look: Look,
        deadline: float,
        is_gone: Callable[[], Awaitable[bool]],
        is_enough: Callable[[Look], bool] = lambda _: False,
    ) -> Look:
        """Return the first look, beginning with `look`, whose job is final or which is enough; any when waits end.

        Parameters
        ----------
        look : the present one
        deadline : the time of `time.monotonic()` after which any is enough
        is_gone : whether the client has hung up, so that any is enough
        is_enough : whether a look is worth answering with

        Raises `JobNotFound`, or a `redis.RedisError`.
        """
        while not (
            self.is_ending
            or look[0].state.is_final
            or is_enough(look)
            or time.monotonic() >= deadline
            or await is_gone()
        ):
            look = await self.next_look(look[0].id)
        return look

    async def _run(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._step_s)
                # Whoever has gone left a canceled future behind.
                waiting = {job_id: futures for job_id, futures in self._waiting.items() if not all(map(_done, futures))}
                self._waiting = {}
                if not waiting:
                    return
                await self._answer(waiting)
        finally:
            self._task = None

    async def _answer(self, waiting: dict[str, list[asyncio.Future[Look]]]) -> None:
        try:
            looks = await to_thread.run_sync(self._read, list(waiting))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is those who wait that must hear of it
            for futures in waiting.values():
                _settle(futures, error)
        else:
            for futures, look in zip(waiting.values(), looks, strict=True):
                _settle(futures, look or job_not_found())

    def _read(self, job_ids: list[str]) -> list[Look | None]:
        looks = self._store.look(job_ids)
        return [look and (look[0], look[1] if look[0].state is JobState.QUEUED else None) for look in looks]


def _gone() -> Look:
    raise job_not_found()


def _done(future: asyncio.Future[Look]) -> bool:
    return future.done()


def _settle(futures: list[asyncio.Future[Look]], outcome: Look | Exception) -> None:
    for future in futures:
        if future.done():  # whoever waited has gone
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
