"""A client of Duetto's HTTP interface: submit, wait, download. Needs httpx alone.

::

    with DuettoClient("http://127.0.0.1:8000") as client:
        job = client.submit(Path("duet.mp4"))
        job = client.wait(job.id, on_progress=lambda job: print(job.stage, job.progress))
        client.download(job.id, "left.wav", Path("left.wav"))
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from app.metered_upload import Meter, MeteredFile, UploadProgress, open_upload, size_of
from app.remote import (
    ClientError,
    InvalidAnswer,
    JobNotSucceeded,
    ProblemError,
    RemoteError,
    RemoteJob,
    ServerUnreachable,
    UnusableFile,
    UnusableKey,
)

__all__ = [
    "ClientError",
    "DuettoClient",
    "InvalidAnswer",
    "JobNotSucceeded",
    "ProblemError",
    "RemoteError",
    "RemoteJob",
    "ServerUnreachable",
    "UnusableFile",
    "UnusableKey",
]

DEFAULT_URL = "http://127.0.0.1:8000"
KEY_VARIABLE = "DUETTO_API_KEY"
DEFAULT_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
RETRIES = 4  # tries after the first, for calls that may safely be repeated
FIRST_BACKOFF_S = 0.25
LONGEST_PAUSE_S = 30.0  # a longer Retry-After is not waited for
LIVE_WAIT_S = 1.0  # `?wait=` when somebody watches the progress
QUIET_WAIT_S = 20.0  # `?wait=` when nobody does
SHORTEST_POLL_S = 0.2  # a server that ignores `?wait=` is still not asked more often
RETRIED_STATUSES = frozenset({502, 503, 504})


class DuettoClient:
    """Talks to one Duetto server. Use as a context manager, or call :meth:`close`.

    Parameters
    ----------
    base_url : str
        Where the server answers, e.g. ``http://127.0.0.1:8000``.
    timeout_s : float
        Longest silence of the server, in seconds.
    api_key : str or None
        The key to show, where the server asks for one. Default: DUETTO_API_KEY of the environment, if it is set.
    retries : int
        How often a call that may be repeated safely is repeated when the connection fails or the
        server answers 502, 503 or 504.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = RETRIES,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._retries = retries
        key = api_key if api_key is not None else os.environ.get(KEY_VARIABLE)
        if key and not (key.isascii() and key.isprintable()):
            raise UnusableKey(f"the API key ({KEY_VARIABLE} or --key) has characters that no key has; copy it anew")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._http = httpx.Client(
                base_url=self.base_url, headers=headers, timeout=self._timeout(), follow_redirects=True
            )
        except httpx.InvalidURL as error:
            raise ServerUnreachable(f"{base_url!r} is no address: {error}") from error

    def __enter__(self) -> DuettoClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        path: Path | None = None,
        *,
        frames: Path | Sequence[Path] = (),
        audio: Path | None = None,
        left: str | None = None,
        right: str | None = None,
        separator: str | None = None,
        tagger: str | None = None,
        stem_format: str | None = None,
        bits: int | None = None,
        webhook_url: str | None = None,
        idempotency_key: str | None = None,
        on_upload: UploadProgress | None = None,
    ) -> RemoteJob:
        """Post a video, or frames (pictures, or one zip) with their audio; return the new job.

        Sent again while the server is away or busy, under one Idempotency-Key, so that one job comes of it.

        Parameters
        ----------
        stem_format, bits : what the stems are to be, ``wav``, ``flac`` or ``mp3``, and how many bits a sample
        webhook_url : where the server is to tell that the job has ended
        idempotency_key : a name for this upload, where one call follows another that failed; else a new one is made
        on_upload : sees how much is sent; from the beginning again, if it is sent again

        Raises
        ------
        UnusableFile, ServerUnreachable, ProblemError
        """
        pictures = [frames] if isinstance(frames, Path) else list(frames)
        chosen = [("video", path), *(("frames", picture) for picture in pictures), ("audio", audio)]
        options = {
            "left": left, "right": right, "separator": separator, "tagger": tagger, "webhook_url": webhook_url,
            "format": stem_format, "bits": None if bits is None else str(bits),
        }  # fmt: skip
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        with contextlib.ExitStack() as opened:
            files = [(field, opened.enter_context(open_upload(file))) for field, file in chosen if file is not None]

            def post() -> httpx.Response:
                meter = Meter(sum(size_of(file) for _, file in files), on_upload)
                for _, file in files:
                    file.seek(0)
                return self._once(
                    "POST",
                    "/v1/jobs",
                    headers=headers,
                    files=[(field, (Path(file.name).name, MeteredFile(file, meter))) for field, file in files],
                    data={name: value for name, value in options.items() if value is not None},
                )

            response = self._repeated(post)
        return RemoteJob.of(_json(response))

    def job(self, job_id: str, *, wait_s: float | None = None) -> RemoteJob:
        """Return the job; with `wait_s`, as soon as it has ended, at the latest after so many seconds."""
        params = {} if wait_s is None else {"wait": f"{wait_s:g}"}
        timeout = self._timeout(extra_s=wait_s or 0.0)
        return RemoteJob.of(_json(self._call("GET", f"/v1/jobs/{job_id}", params=params, timeout=timeout)))

    def wait(
        self,
        job_id: str,
        *,
        on_progress: Callable[[RemoteJob], None] | None = None,
        timeout_s: float | None = None,
    ) -> RemoteJob:
        """Wait until the job has succeeded and return it; `on_progress` sees it about once a second.

        Raises
        ------
        JobNotSucceeded
            If it failed, was canceled or has expired.
        TimeoutError
            If it has not ended after `timeout_s` seconds. The job goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        wait_s = LIVE_WAIT_S if on_progress else QUIET_WAIT_S
        while True:
            asked = time.monotonic()
            left_s = wait_s if deadline is None else min(wait_s, max(0.0, deadline - asked))
            job = self.job(job_id, wait_s=left_s)
            if on_progress:
                on_progress(job)
            if job.state == "succeeded":
                return job
            if job.is_final:
                raise JobNotSucceeded(job)
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise TimeoutError(f"job {job_id} is still {job.state} after {timeout_s:g} s; it goes on")
            time.sleep(max(0.0, SHORTEST_POLL_S - (now - asked)))

    def result(self, job_id: str) -> dict[str, Any]:
        """Return the result document: labels, probabilities, provenance."""
        return _json(self._call("GET", f"/v1/jobs/{job_id}/result"))

    def cancel(self, job_id: str) -> RemoteJob:
        """Ask the job to stop. A running one ends within moments; one that has ended stays as it is."""
        return RemoteJob.of(_json(self._call("POST", f"/v1/jobs/{job_id}/cancel")))

    def delete(self, job_id: str) -> None:
        """Remove the job with all its files."""
        self._call("DELETE", f"/v1/jobs/{job_id}")

    def download(self, job_id: str, name: str, dest: Path) -> Path:
        """Store the stem `name` (see `RemoteJob.stem_name`) at `dest`, whole or not at all; return `dest`.

        A download that breaks off goes on where it stopped, in this call or in the next one.

        Raises
        ------
        UnusableFile, ServerUnreachable, ProblemError
        """
        try:
            dest.parent.mkdir(parents=True, exist_ok=True)
            partial = self._fetch(f"/v1/jobs/{job_id}/stems/{name}", dest)
            partial.replace(dest)
        except OSError as error:
            raise UnusableFile(f"cannot write {dest}: {error.strerror}") from error
        return dest

    def _fetch(self, url: str, dest: Path) -> Path:
        """Download `url` into a file beside `dest`; return its path."""
        partial: Path | None = None
        etag: str | None = None
        failures = 0
        while True:
            offset = partial.stat().st_size if partial and partial.exists() else 0
            headers = {"Accept-Encoding": "identity"}  # ranges count the bytes of the file itself
            if offset and etag:
                # Without If-Range, the rest of another version could be glued to the start of this one.
                headers |= {"Range": f"bytes={offset}-", "If-Range": etag}
            try:
                with self._streamed(url, headers) as response:
                    etag = response.headers.get("ETag")
                    if partial is None:
                        partial = _partial_path(dest, url, etag)
                        if etag and partial.exists() and 0 < partial.stat().st_size < _length(response):
                            continue  # an earlier call left its start: ask again, for the rest
                    resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
                    with partial.open("ab" if resumed else "wb") as file:
                        for chunk in response.iter_bytes():
                            file.write(chunk)
                    return partial
            except OSError:  # the disk is full, most likely: no use to wait for the rest
                if partial is not None:
                    partial.unlink(missing_ok=True)
                raise
            except httpx.TransportError as error:
                failures += 1
                if failures > self._retries:
                    raise ServerUnreachable(
                        f"the download of {dest.name} broke off ({error}). Try again: it goes on where it stopped."
                    ) from error
                time.sleep(_backoff_s(failures))

    @contextlib.contextmanager
    def _streamed(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        with self._http.stream("GET", url, headers=headers) as response:
            if not response.is_success:
                response.read()
                raise _problem(response)
            yield response

    def _timeout(self, extra_s: float = 0.0) -> httpx.Timeout:
        return httpx.Timeout(self._timeout_s + extra_s, connect=CONNECT_TIMEOUT_S)

    def _call(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        """Make a call that may be repeated, repeating it while the server is away or busy."""
        return self._repeated(lambda: self._once(method, url, **arguments))

    def _repeated(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        failures = 0
        while True:
            try:
                return call()
            except (ServerUnreachable, ProblemError) as error:
                failures += 1
                pause_s = _backoff_s(failures)
                if isinstance(error, ProblemError):
                    if error.status not in RETRIED_STATUSES:
                        raise
                    pause_s = error.retry_after_s if error.retry_after_s is not None else pause_s
                if failures > self._retries or pause_s > LONGEST_PAUSE_S:
                    raise
                time.sleep(pause_s)

    def _once(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, url, **arguments)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServerUnreachable(
                f"no Duetto server answers at {self.base_url}; start one with `duetto serve`"
            ) from error
        except httpx.TimeoutException as error:
            raise ServerUnreachable(
                f"the server at {self.base_url} did not answer within {self._timeout_s:g} s"
            ) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ServerUnreachable(
                f"{self.base_url!r} is no address of a server; one looks like {DEFAULT_URL}"
            ) from error
        except httpx.TransportError as error:
            raise ServerUnreachable(f"the connection to {self.base_url} broke off: {error}") from error
        if not response.is_success:
            raise _problem(response)
        return response


def _partial_path(dest: Path, url: str, etag: str | None) -> Path:
    """Where the start of a download waits for its rest: a name for this version of this file alone."""
    version = hashlib.sha256(f"{url}\n{etag}".encode()).hexdigest()[:16]
    return dest.with_name(f".{dest.name}.{version}.part")


def _length(response: httpx.Response) -> int:
    return int(response.headers.get("Content-Length", 0))


def _backoff_s(failures: int) -> float:
    return float(min(FIRST_BACKOFF_S * 2 ** (failures - 1), LONGEST_PAUSE_S))


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError as error:
        raise InvalidAnswer(f"{response.url} answers, but not as a Duetto server does") from error
    if not isinstance(document, dict):
        raise InvalidAnswer(f"{response.url} answers, but not as a Duetto server does")
    return document


def _problem(response: httpx.Response) -> ProblemError:
    """Return the error that an answer outside 200 to 299 describes, as well as it does."""
    document: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        parsed = response.json()
        document = parsed if isinstance(parsed, dict) else {}
    retry_after_s: float | None = None
    with contextlib.suppress(ValueError):  # an HTTP date: rare, and no more precise than our own backoff
        retry_after_s = float(response.headers.get("Retry-After", "none"))
    detail = str(document.get("detail") or "")
    if not document:
        detail = f"{response.url} answered {response.status_code} {response.reason_phrase}"
    return ProblemError(
        response.status_code,
        str(document.get("code") or ""),
        str(document.get("title") or response.reason_phrase),
        detail,
        retry_after_s=retry_after_s,
    )
