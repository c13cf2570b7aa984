"""What a line of the log is about: the request, the job, the attempt and the stage that the code runs for.

Whoever knows says so once, around the work; every line within carries it, from whatever library it comes.
A new thread begins with nothing and says it anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from app.request_id import current_request_id

# In the order in which they are shown.
FIELDS: Final = ("request_id", "job_id", "attempt", "stage")

_NOTHING: Final[Mapping[str, str | int]] = {}
_known: ContextVar[Mapping[str, str | int]] = ContextVar("duetto_log_context", default=_NOTHING)


@contextmanager
def log_context(
    *, request_id: str | None = None, job_id: str | None = None, attempt: int | None = None, stage: str | None = None
) -> Iterator[None]:
    """Let every line logged within carry what is given, beside what is known already."""
    given = {"request_id": request_id, "job_id": job_id, "attempt": attempt, "stage": stage}
    token = _known.set({**_known.get(), **{name: value for name, value in given.items() if value is not None}})
    try:
        yield
    finally:
        _known.reset(token)


def note_stage(stage: str) -> None:
    """Let the lines from here to the end of the surrounding `log_context` carry this stage."""
    _known.set({**_known.get(), "stage": stage})


def current_context() -> dict[str, str | int]:
    """Return what is known here."""
    known = dict(_known.get())
    request_id = current_request_id()
    if request_id is not None:
        known.setdefault("request_id", request_id)
    return known
