"""A job as the server tells it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from duetto._errors import InvalidAnswer, JobCanceled, JobExpired, JobFailed

FINAL_STATES: Final = frozenset({"succeeded", "failed", "canceled", "expired"})
_FORMAT: Final = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: a stable `code`, a `message` for people, the `stage` it was in, whether it may work later."""

    code: str
    message: str
    stage: str | None
    retryable: bool


@dataclass(frozen=True, slots=True)
class Job:
    """A job, as it was when the server answered. Its fields: docs/api.md, "Fields of a job".

    Attributes
    ----------
    state : str
        ``queued``, ``running``, ``succeeded``, ``failed``, ``canceled`` or ``expired``.
    stage : str or None
        ``probe``, ``tag``, ``separate`` or ``encode``, while it runs.
    progress : float
        0 to 1, of the whole job.
    eta_seconds : float or None
        What is left, by the server's estimate, while it runs.
    queue_position : int or None
        How many are ahead, while it is queued.
    title : str
        The upload's name.
    format : str
        What the stems are, or will be: ``wav``, ``flac``, ``mp3``.
    error : Failure or None
        Why it failed.
    document : mapping
        All that the server said.
    """

    id: str
    state: str
    stage: str | None
    progress: float
    eta_seconds: float | None
    queue_position: int | None
    title: str
    format: str
    error: Failure | None
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL_STATES

    def check_succeeded(self) -> None:
        """Return if the job has succeeded.

        Raises
        ------
        JobFailed, JobCanceled, JobExpired
            If it ended in another way.
        """
        if self.state == "failed":
            raise JobFailed(
                self.error or Failure("", f"job {self.id} failed, and no reason was told", None, False), self
            )
        if self.state == "canceled":
            raise JobCanceled(f"job {self.id} was canceled", self)
        if self.state == "expired":
            raise JobExpired(f"the files of job {self.id} have been removed by age; send the video again", self)

    @classmethod
    def of(cls, document: Any) -> Job:
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
                format=_format_in(document.get("options") or {}),
                error=error
                and Failure(
                    str(error["code"]), str(error["message"]), error.get("stage"), bool(error.get("retryable", False))
                ),
                document=document,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise InvalidAnswer("the answer is no job; is this address a Duetto server?") from fault


def _format_in(options: Mapping[str, Any]) -> str:
    """Return what the stems are; it becomes part of a file's name, so nothing that could lead out of a folder."""
    stem_format = str(options.get("format") or "wav")
    if not _FORMAT.fullmatch(stem_format):
        raise ValueError(stem_format)
    return stem_format
