"""What the client does, written once for both clients: coroutines over a connection."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import quote

from duetto._answers import check, read_document
from duetto._connection import Answer, Connection, Listener, Request
from duetto._errors import DamagedDownload, Error, InvalidAnswer, NotInTime
from duetto._folder import Folder, check_output
from duetto._following import follow
from duetto._form import Form
from duetto._job import Job
from duetto._options import Options, PathLike
from duetto._partial import PartialFile
from duetto._picture import PICTURES, Picture, pictures_of
from duetto._problems import JobNotFound
from duetto._progress import Progress
from duetto._retries import Retries
from duetto._separation import RESULT, SIDES, Separation, Side, read_result, stem_name
from duetto._transfer import Transfer

File = Side | Literal["stems", "result"]
"""What can be downloaded: one stem, both with the result in a zip, or the result document."""

_JOBS: Final = "/v1/jobs"
_PAGE: Final = 100
_LAST_WORDS_S: Final = 5.0
_LONG_PAUSE_S: Final = 3.0  # people want to know of it


class Session:
    """A connection with the manners of this client: it retries, resumes, follows.

    Parameters
    ----------
    connection : Connection
    retries : int
        How often in a row a call is made again when the server is away or busy.
    """

    def __init__(self, connection: Connection, retries: int) -> None:
        self.connection = connection
        self._retries = retries

    async def separate(
        self,
        path: PathLike | None,
        left: str | None,
        right: str | None,
        output: PathLike | None,
        on_progress: Listener | None,
        timeout_s: float | None,
        pictures: bool,
        options: Options,
    ) -> Separation:
        """See :meth:`duetto.Client.separate`."""
        # Nothing would come of the upload if there is no place for the stems.
        await self.connection.work(partial(check_output, output))
        job = await self.submit(path, left, right, on_progress, options)
        try:
            job = await self.wait(job, on_progress, timeout_s)
        except Error as error:
            error.add_note(f"The job is {job.id}; it stays at the server.")
            raise
        except BaseException:  # Ctrl-C, a task that is canceled, `on_progress` itself: nobody wants the job any more
            await self.connection.last_words(partial(self._cancel_quietly, job))
            raise
        return await self.fetch(job, output, on_progress, pictures)

    async def submit(
        self,
        path: PathLike | None,
        left: str | None,
        right: str | None,
        on_progress: Listener | None,
        options: Options,
    ) -> Job:
        """See :meth:`duetto.Client.submit`."""
        named: dict[str, Any] = {"left": left, "right": right, **options}
        chosen = {name: value for name, value in named.items() if value is not None}
        key = chosen.pop("idempotency_key", uuid.uuid4().hex)
        frames = chosen.pop("frames", ())
        frames = [frames] if isinstance(frames, str | os.PathLike) else frames
        files = [("video", path), *(("frames", frame) for frame in frames), ("audio", chosen.pop("audio", None))]
        given = [(field, Path(file)) for field, file in files if file is not None]
        fields = {name: value.id if isinstance(value, Job) else str(value) for name, value in chosen.items()}
        retries = Retries(self._retries)
        while True:
            # Anew for each try: the file may have been written to meanwhile.
            form = await self.connection.work(lambda: Form(fields, given))
            transfer = Transfer(self.connection, on_progress, "upload")
            request = Request("POST", _JOBS, {"Idempotency-Key": str(key)}, form=form, sent=transfer.at)
            try:
                return Job.of(await self._once(request))
            except Error as error:
                await self._pause(retries, error, transfer.progress, on_progress)

    async def job(self, job: Job | str) -> Job:
        """See :meth:`duetto.Client.job`."""
        return Job.of(await self._call(Request("GET", _path(job))))

    async def jobs(self, state: str | None) -> AsyncGenerator[Job, None]:
        """See :meth:`duetto.Client.jobs`."""
        params = {"limit": str(_PAGE)} | ({} if state is None else {"state": state})
        while True:
            page = await self._call(Request("GET", _JOBS, params=params))
            listed = page.get("jobs")
            if not isinstance(listed, list):
                raise InvalidAnswer("the answer lists no jobs; is this address a Duetto server?")
            for document in listed:
                yield Job.of(document)
            if not page.get("next_cursor"):
                return
            params["cursor"] = str(page["next_cursor"])

    def events(self, job: Job | str, deadline: float | None = None) -> AsyncGenerator[Job, None]:
        """See :meth:`duetto.Client.events`. With `deadline`, of `time.monotonic()`, it may end before the job does."""
        return follow(self.connection, _path(job), Retries(self._retries), deadline)

    async def wait(self, job: Job | str, on_progress: Listener | None, timeout_s: float | None) -> Job:
        """See :meth:`duetto.Client.wait`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        last: Job | None = None
        async with aclosing(self.events(job, deadline)) as events:
            async for last in events:
                await self._tell(on_progress, Progress.of_job(last))
        if last is None:
            last = await self.job(job)
        last.check_succeeded()
        if last.state != "succeeded":
            raise NotInTime(last, timeout_s or 0.0)
        return last

    async def result(self, job: Job | str) -> dict[str, Any]:
        """See :meth:`duetto.Client.result`."""
        return await self._call(Request("GET", f"{_path(job)}/result"))

    async def cancel(self, job: Job | str) -> Job:
        """See :meth:`duetto.Client.cancel`."""
        return Job.of(await self._call(Request("POST", f"{_path(job)}/cancel")))

    async def delete(self, job: Job | str) -> None:
        """See :meth:`duetto.Client.delete`."""
        retries = Retries(self._retries)
        try:
            await self._call(Request("DELETE", _path(job)), retries)
        except JobNotFound:
            if not retries.failures:
                raise  # else the try before has done it, and its answer was lost

    async def fetch(
        self, job: Job | str, output: PathLike | None, on_progress: Listener | None, pictures: bool
    ) -> Separation:
        """See :meth:`duetto.Client.fetch`."""
        if isinstance(job, str) or not job.is_final:
            job = await self.job(job)
        folder = await self.connection.work(partial(Folder, output))
        await self._store(job, _place(job, "result")[0], folder.path / RESULT, None)
        if pictures:
            await self._fetch_pictures(job, await self.connection.work(partial(read_result, folder)), folder)
        for k, side in enumerate(SIDES):
            stem = folder.path / stem_name(side, job)
            await self._store(job, _place(job, side)[0], stem, on_progress, k / 2, 1 / 2)
        return await self.connection.work(lambda: Separation.of(job, folder, pictures=pictures))

    async def pictures(self, job: Job | str, output: PathLike | None) -> tuple[Picture, ...]:
        """See :meth:`duetto.Client.pictures`."""
        if isinstance(job, str):
            job = await self.job(job)
        folder = await self.connection.work(partial(Folder, output))
        return await self._fetch_pictures(job, await self.result(job), folder)

    async def _fetch_pictures(self, job: Job, result: Mapping[str, Any], folder: Folder) -> tuple[Picture, ...]:
        drawn = pictures_of(result, folder)
        for picture in drawn:
            await self._store(job, f"{PICTURES}/{picture.path.name}", picture.path, None)
        return drawn

    async def download(self, job: Job | str, file: File, path: PathLike, on_progress: Listener | None) -> Path:
        """See :meth:`duetto.Client.download`."""
        dest = Path(path)
        if isinstance(job, str):
            job = await self.job(job)
        place, name = _place(job, file)
        if await self.connection.work(dest.is_dir):
            dest /= name
        return await self._store(job, place, dest, on_progress)

    async def _store(
        self,
        job: Job,
        place: str,
        dest: Path,
        on_progress: Listener | None,
        before: float = 0.0,
        share: float = 1.0,
    ) -> Path:
        """Store what is at `place`, below the job, as `dest`; `before` and `share` as of :class:`Transfer`."""
        url = f"{_path(job)}/{place}"
        received = PartialFile(dest, url)
        transfer = Transfer(self.connection, on_progress, "download", job, before, share)
        retries = Retries(self._retries)
        was_damaged = False
        while True:
            try:
                async with self._opened(Request("GET", url, received.headers)) as answer:
                    if not await self.connection.work(partial(received.begin, answer.status, answer.headers)):
                        continue
                    async with aclosing(answer.chunks()) as chunks:
                        async for chunk in chunks:
                            await self.connection.work(partial(received.write, chunk))
                            retries.succeeded()
                            await transfer.at(received.fraction)
                await self.connection.work(received.finish)
            except DamagedDownload:
                if was_damaged:
                    raise
                was_damaged = True
            except Error as error:
                await self._pause(retries, error, transfer.progress, on_progress)
            else:
                return dest

    async def _call(self, request: Request, retries: Retries | None = None) -> dict[str, Any]:
        """Return the document that a call is answered with. Made again while the server is away or busy."""
        retries = retries or Retries(self._retries)
        while True:
            try:
                return await self._once(request)
            except Error as error:
                await self._pause(retries, error, None, None)

    async def _once(self, request: Request) -> dict[str, Any]:
        async with self._opened(request) as answer:
            return await read_document(answer)

    @asynccontextmanager
    async def _opened(self, request: Request) -> AsyncIterator[Answer]:
        """Hold open an answer that says yes."""
        async with self.connection.open(request) as answer:
            await check(answer)
            yield answer

    async def _pause(
        self, retries: Retries, error: Error, progress: Progress | None, on_progress: Listener | None
    ) -> None:
        """Wait until a call may be made again after `error`; raise it if it may not."""
        pause_s = retries.pause_s(error)
        if progress is not None:
            note = f"{error}; again in {pause_s:.0f} s" if pause_s >= _LONG_PAUSE_S else str(error)
            await self._tell(on_progress, Progress("paused", progress.fraction, note=note, job=progress.job))
        await self.connection.sleep(pause_s)

    async def _tell(self, listener: Listener | None, progress: Progress) -> None:
        if listener is not None:
            await self.connection.tell(listener, progress)

    async def _cancel_quietly(self, job: Job) -> None:
        with suppress(Error):
            await self._once(Request("POST", f"{_path(job)}/cancel", silence_s=_LAST_WORDS_S))


def _path(job: Job | str) -> str:
    return f"{_JOBS}/{quote(job.id if isinstance(job, Job) else job, safe='')}"


def _place(job: Job, file: File) -> tuple[str, str]:
    """Return where a file is, below its job, and what it is called."""
    if file in SIDES:
        name = stem_name(file, job)
        return f"stems/{name}", name
    if file == "stems":
        return "stems.zip", "stems.zip"
    if file == "result":
        return "result", RESULT
    raise ValueError(f"there is no {file!r} to download; it is one of {', '.join(get_args(Side))}, stems, result")
