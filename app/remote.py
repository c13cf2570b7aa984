"""What a server tells its client: a job's state, and what goes wrong between the two.

These errors are no :class:`app.errors.DuettoError`: those are what *this* side raises to answer with.

::

    ClientError
    ├── ServerUnreachable   nothing answers at the address, or it stopped answering
    ├── InvalidAnswer       something answers that is no Duetto server
    ├── ProblemError        the server said no: status, code, title, detail
    ├── JobNotSucceeded     waited for a job that failed, was canceled or has expired
    ├── UnusableKey         an API key that cannot be one
    └── UnusableFile        a local file that cannot be read or written
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FINAL_STATES = frozenset({"succeeded", "failed", "canceled", "expired"})


class ClientError(Exception):
    """Base of every error that the client raises on purpose."""


class ServerUnreachable(ClientError):  # noqa: N818 - named for what happened, here and below
    """Nothing answers at the address, or it stopped answering."""


class InvalidAnswer(ClientError):  # noqa: N818
    """Something answers that does not speak as a Duetto server does."""


class UnusableFile(ClientError):  # noqa: N818
    """A local file cannot be read or written."""


class UnusableKey(ClientError):  # noqa: N818
    """The API key cannot be one."""


class ProblemError(ClientError):
    """The server refused: an RFC 9457 problem.

    Attributes
    ----------
    status : int
        HTTP status.
    code : str
        Stable name of the problem, e.g. ``unknown_instrument``; empty if the answer was no problem document.
    title, detail : str
        What was wrong, in general and in particular.
    retry_after_s : float or None
        Seconds after which the server suggests to try again.
    """

    def __init__(self, status: int, code: str, title: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{detail or title} ({code or 'HTTP'} {status})")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retry_after_s = retry_after_s


class JobNotSucceeded(ClientError):  # noqa: N818
    """The job ended without stems. `job` is its last state."""

    def __init__(self, job: RemoteJob) -> None:
        reason = job.error.message if job.error else f"the job is {job.state}"
        super().__init__(reason)
        self.job = job


@dataclass(frozen=True)
class RemoteError:
    """Why a job failed."""

    code: str
    message: str
    stage: str | None
    retryable: bool


@dataclass(frozen=True)
class RemoteJob:
    """A job as the server told it. `raw` is the whole document.

    `progress` runs from 0 to 1 over the whole job, `eta_seconds` is the server's estimate of what is left,
    `queue_position` counts the jobs that are ahead while it waits.
    """

    id: str
    state: str
    stage: str | None
    progress: float
    eta_seconds: float | None
    queue_position: int | None
    title: str
    error: RemoteError | None
    links: Mapping[str, str]
    raw: Mapping[str, Any]

    @property
    def is_final(self) -> bool:
        """Whether the job will not change any more."""
        return self.state in FINAL_STATES

    def stem_name(self, side: str) -> str:
        """Return what the stem of that side (``left``, ``right``) is called, once there is one: ``left.wav``.

        Raises
        ------
        InvalidAnswer
            If there is none, or by a name that could lead out of a folder.
        """
        name = str(self.links.get(side) or "").rpartition("/")[2]
        if not re.fullmatch(r"[a-z0-9]+\.[a-z0-9]+", name):
            raise InvalidAnswer(f"the job has no link to its {side} stem; is this address a Duetto server?")
        return name

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> RemoteJob:
        """Return the job that `document`, the server's JSON, describes.

        Raises
        ------
        InvalidAnswer
            If it describes none.
        """
        try:
            error = document.get("error")
            return cls(
                id=str(document["id"]),
                state=str(document["state"]),
                stage=document.get("stage"),
                progress=float(document.get("progress") or 0.0),
                eta_seconds=document.get("eta_seconds"),
                queue_position=document.get("queue_position"),
                title=str((document.get("input") or {}).get("title") or ""),
                error=error
                and RemoteError(
                    str(error["code"]),
                    str(error["message"]),
                    error.get("stage"),
                    bool(error.get("retryable", False)),
                ),
                links=document.get("links") or {},
                raw=document,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise InvalidAnswer("the answer is no job; is this address a Duetto server?") from fault
