"""The lines of the log: for people, or one JSON object each. Both carry the same facts.

A JSON line has ``time`` (RFC 3339, UTC), ``level``, ``logger`` and ``message``; where known ``request_id``,
``job_id``, ``attempt`` and ``stage``; and ``exception`` with the traceback of an error.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from app.logs.context import FIELDS, current_context
from app.logs.secrets import without_secrets


class _Line(logging.Formatter):
    """What both have in common. `secrets` are texts that no line may hold."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        # Longest first: one may be part of another.
        self._secrets = sorted(secrets, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or for people several with a traceback."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        exception = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
        line = self._line(record, moment, record.getMessage(), _facts(record), exception)
        return without_secrets(line, self._secrets)

    def _line(
        self, record: logging.LogRecord, moment: str, message: str, facts: Mapping[str, str | int], exception: str
    ) -> str:
        raise NotImplementedError


class TextLine(_Line):
    """``TIME LEVEL LOGGER: MESSAGE [job_id=... attempt=1]``."""

    def _line(
        self, record: logging.LogRecord, moment: str, message: str, facts: Mapping[str, str | int], exception: str
    ) -> str:
        # What the message says already is not said twice.
        told = " ".join(f"{name}={value}" for name, value in facts.items() if str(value) not in message)
        line = f"{moment} {record.levelname} {record.name}: {message}{f' [{told}]' if told else ''}"
        return f"{line}\n{exception}" if exception else line


class JsonLine(_Line):
    """One JSON object, on one line whatever is in it."""

    def _line(
        self, record: logging.LogRecord, moment: str, message: str, facts: Mapping[str, str | int], exception: str
    ) -> str:
        line: dict[str, str | int] = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            **facts,
        }
        if exception:
            line["exception"] = exception
        return json.dumps(line, ensure_ascii=False, default=str)


def _facts(record: logging.LogRecord) -> dict[str, str | int]:
    """What the line is about: what its author said, what Celery says of a task, what is known here."""
    known = current_context()
    task = getattr(record, "data", None)
    if isinstance(task, Mapping) and isinstance(task.get("id"), str):
        # Celery's own lines about a task; a task's id is its job's.
        known["job_id"] = task["id"]
    for name in FIELDS:
        said = getattr(record, name, None)
        if said is not None:
            known[name] = said
    return {name: known[name] for name in FIELDS if name in known}
