"""The client that waits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

from duetto._connection import DEFAULT_SERVER
from duetto._job import Job
from duetto._options import Options, PathLike
from duetto._picture import Picture
from duetto._progress import Progress
from duetto._separation import Separation
from duetto._session import File, Session

OnProgress = Callable[[Progress], object]
"""May return something to wait for, as a coroutine function does."""


class AsyncClient:
    """:class:`duetto.Client` for asyncio: the same parameters, methods and errors; each method is documented there.

    Reads and writes files in threads, so the event loop goes on. A call whose task is canceled ends at once;
    `separate` then cancels its job.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 4,
    ) -> None:
        from duetto._async_connection import AsyncConnection  # noqa: PLC0415 - httpx takes 0.1 s to import

        self.server = server
        self._session = Session(AsyncConnection(server, api_key, timeout_s), retries)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.connection.close()

    async def separate(
        self,
        path: PathLike | None = None,
        left: str | None = None,
        right: str | None = None,
        *,
        output: PathLike | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
        pictures: bool = False,
        **options: Unpack[Options],
    ) -> Separation:
        """Send a duet, wait for its separation, and fetch it."""
        return await self._session.separate(path, left, right, output, on_progress, timeout_s, pictures, options)

    async def submit(
        self,
        path: PathLike | None = None,
        left: str | None = None,
        right: str | None = None,
        *,
        on_progress: OnProgress | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Send a duet; return its job, which is queued."""
        return await self._session.submit(path, left, right, on_progress, options)

    async def job(self, job: Job | str) -> Job:
        """Return the job as it is now."""
        return await self._session.job(job)

    def jobs(self, state: str | None = None) -> AsyncGenerator[Job, None]:
        """Yield all jobs that the server shows, newest first; with `state`, those in it."""
        return self._session.jobs(state)

    def events(self, job: Job | str) -> AsyncGenerator[Job, None]:
        """Yield the job now, and again with every change until it has ended."""
        return self._session.events(job)

    async def wait(
        self, job: Job | str, *, on_progress: OnProgress | None = None, timeout_s: float | None = None
    ) -> Job:
        """Wait until the job has succeeded, and return it."""
        return await self._session.wait(job, on_progress, timeout_s)

    async def fetch(
        self,
        job: Job | str,
        output: PathLike | None = None,
        *,
        on_progress: OnProgress | None = None,
        pictures: bool = False,
    ) -> Separation:
        """Download both stems and the result of a job that has succeeded."""
        return await self._session.fetch(job, output, on_progress, pictures)

    async def pictures(self, job: Job | str, output: PathLike | None = None) -> tuple[Picture, ...]:
        """Download the pictures of a job that has succeeded."""
        return await self._session.pictures(job, output)

    async def download(
        self, job: Job | str, file: File, path: PathLike, *, on_progress: OnProgress | None = None
    ) -> Path:
        """Store one file of a job that has succeeded, whole or not at all, and checked by its digest."""
        return await self._session.download(job, file, path, on_progress)

    async def result(self, job: Job | str) -> dict[str, Any]:
        """Return the result document."""
        return await self._session.result(job)

    async def cancel(self, job: Job | str) -> Job:
        """Ask the job to stop."""
        return await self._session.cancel(job)

    async def delete(self, job: Job | str) -> None:
        """Remove the job with all its files from the server."""
        await self._session.delete(job)
