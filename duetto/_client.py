"""The client that blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

from duetto._blocking import iterate, run
from duetto._connection import DEFAULT_SERVER
from duetto._job import Job
from duetto._options import Options, PathLike
from duetto._picture import Picture
from duetto._progress import Progress
from duetto._separation import Separation
from duetto._session import File, Session

OnProgress = Callable[[Progress], object]


class Client:
    """Talks to one Duetto server. Use as a context manager, or call :meth:`close`. May be used by several threads.

    Every method raises :class:`duetto.ServerUnreachable` if nothing answers, :class:`duetto.InvalidAnswer` if something
    else does, and the :class:`duetto.Problem` that the server refuses with. What may be repeated without harm is, while
    the server is away or busy; an upload is, under one Idempotency-Key, so that one job comes of it.

    Parameters
    ----------
    server : str
        Where it answers, e.g. ``http://127.0.0.1:8000``.
    api_key : str or None
        The key to show, where the server asks for one. Default: DUETTO_API_KEY of the environment, if it is set.
    timeout_s : float
        Longest silence of the server, in seconds.
    retries : int
        How often in a row a call is made again; 0: not even a restart of the server is waited for.

    Raises
    ------
    UnusableKey, ServerUnreachable
        If the key or the address cannot be one.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 4,
    ) -> None:
        from duetto._blocking_connection import BlockingConnection  # noqa: PLC0415 - httpx takes 0.1 s to import

        self.server = server
        self._session = Session(BlockingConnection(server, api_key, timeout_s), retries)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        run(self._session.connection.close())

    def separate(
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
        """Send a duet, wait for its separation, and fetch it: who plays where, and a stem for each.

        If it is interrupted (Ctrl-C, or an exception of `on_progress`), the job is canceled.

        Parameters
        ----------
        path : path or None
            The video; None with `frames` and `audio`.
        left, right : str or None
            The instrument on that side, instead of looking.
        output : path or None
            The folder for both stems and ``result.json``. Without it they lie in a temporary one, for as long as the
            returned object is used.
        on_progress : callable or None
            Called with a :class:`duetto.Progress`; ``print`` will do.
        timeout_s : float or None
            How long to wait for the job, in seconds.
        pictures : bool
            Whether to fetch the pictures too (:meth:`pictures`).
        **options
            See :class:`duetto.Options`.

        Raises
        ------
        JobNotSucceeded
            :class:`duetto.JobFailed` if the duet cannot be separated: `failure` says why.
        NotInTime
            If the job has not ended in time. It goes on: `wait` for the error's `job`, then `fetch` it.
        UnusableFile
            If the upload cannot be read, or a stem not be written.
        DamagedDownload
            If a stem does not come whole, twice.
        """
        return run(self._session.separate(path, left, right, output, on_progress, timeout_s, pictures, options))

    def submit(
        self,
        path: PathLike | None = None,
        left: str | None = None,
        right: str | None = None,
        *,
        on_progress: OnProgress | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Send a duet; return its job, which is queued. The parameters are those of :meth:`separate`.

        The upload is read and sent in pieces of 256 KiB. Raises :class:`duetto.UnusableFile` if it cannot be read.
        """
        return run(self._session.submit(path, left, right, on_progress, options))

    def job(self, job: Job | str) -> Job:
        """Return the job as it is now. A job, here and below, may be given by its id."""
        return run(self._session.job(job))

    def jobs(self, state: str | None = None) -> Iterator[Job]:
        """Yield all jobs that the server shows, newest first; with `state`, those in it."""
        return iterate(self._session.jobs(state))

    def events(self, job: Job | str) -> Iterator[Job]:
        """Yield the job now, and again with every change until it has ended.

        Goes on after a break, for two minutes if the server restarts. Raises :class:`duetto.JobNotFound` if the job is
        deleted.
        """
        return iterate(self._session.events(job))

    def wait(self, job: Job | str, *, on_progress: OnProgress | None = None, timeout_s: float | None = None) -> Job:
        """Wait until the job has succeeded, and return it. Follows it as :meth:`events` does.

        Raises
        ------
        JobNotSucceeded
            If it failed, was canceled, or has expired.
        NotInTime
            If it has not ended after `timeout_s` seconds. It goes on.
        """
        return run(self._session.wait(job, on_progress, timeout_s))

    def fetch(
        self,
        job: Job | str,
        output: PathLike | None = None,
        *,
        on_progress: OnProgress | None = None,
        pictures: bool = False,
    ) -> Separation:
        """Download both stems and the result of a job that has succeeded. As the end of :meth:`separate`."""
        return run(self._session.fetch(job, output, on_progress, pictures))

    def pictures(self, job: Job | str, output: PathLike | None = None) -> tuple[Picture, ...]:
        """Download what was seen and heard, drawn: a frame, probabilities over time, spectrograms.

        They lie in the folder ``pictures`` of `output`; without it in a temporary one, for as long as one of them is
        used. A job may have some of them or none (docs/api.md, "Pictures"). Raises as :meth:`download`.
        """
        return run(self._session.pictures(job, output))

    def download(self, job: Job | str, file: File, path: PathLike, *, on_progress: OnProgress | None = None) -> Path:
        """Store one file of a job that has succeeded, whole or not at all, and checked by its digest.

        A download that breaks off goes on where it stopped, in this call or in the next one.

        Parameters
        ----------
        file : str
            ``left``, ``right``, ``stems`` (a zip of both, and the result) or ``result``.
        path : path
            The file to write, or a folder that exists.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        JobNotSucceeded, StemNotReady
            If there is no such file, or not yet.
        UnusableFile, DamagedDownload
            If it cannot be written, or does not come whole, twice.
        """
        return run(self._session.download(job, file, path, on_progress))

    def result(self, job: Job | str) -> dict[str, Any]:
        """Return the result document: labels, probabilities, what was used. Raises as :meth:`download`."""
        return run(self._session.result(job))

    def cancel(self, job: Job | str) -> Job:
        """Ask the job to stop; a running one ends within moments.

        Raises :class:`duetto.IllegalTransition` if it has ended already.
        """
        return run(self._session.cancel(job))

    def delete(self, job: Job | str) -> None:
        """Remove the job with all its files from the server."""
        run(self._session.delete(job))
