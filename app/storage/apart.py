"""The upkeep of an object storage in a process of its own, for a process that forks others.

A Celery worker's parent looks after jobs and forks its children, and what forks must not use obstore
(app/storage/bucket.py). So the parent asks this process, over its pipes, a JSON document a line:

    parent   {"settings": {...}}                        once
    parent   {"call": "delete", "arguments": [...]}
    process  {"value": ...}  or  {"error": "StorageUnavailable", "detail": "..."}

It ends when its input does: with its parent, however that ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any, Final

from pydantic import SecretStr

from app import errors
from app.errors import DuettoError, StorageUnavailable
from app.settings import Settings
from app.storage import open_storage
from app.storage.names import checked_id
from app.storage.protocol import StorageUpkeep, StoredJob

_SETTINGS: Final = (
    "data_dir", "storage", "s3_endpoint", "s3_region", "s3_access_key_id", "s3_secret_access_key", "s3_virtual_hosts",
)  # fmt: skip


class UpkeepApart:
    """The upkeep of the storage that the settings name; for its methods see `StorageUpkeep`.

    The process starts with the first call, and anew if it has ended.
    """

    def __init__(self, settings: Settings) -> None:
        values = {name: getattr(settings, name) for name in _SETTINGS}
        self._settings = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in values.items()
            if value is not None
        }
        self._process: subprocess.Popen[str] | None = None
        # The thread of the upkeep and the one that hears of lost children both call.
        self._lock = threading.Lock()

    def is_published(self, job_id: str) -> bool:
        """See `StorageUpkeep`."""
        return bool(self._call("is_published", checked_id(job_id)))

    def clear_scratch(self, job_id: str) -> None:
        """See `StorageUpkeep`."""
        self._call("clear_scratch", checked_id(job_id))

    def delete(self, job_id: str) -> None:
        """See `StorageUpkeep`."""
        self._call("delete", checked_id(job_id))

    def jobs(self) -> Iterator[StoredJob]:
        """See `StorageUpkeep`."""
        for job in self._call("jobs"):
            yield StoredJob(**job)

    def last_written(self, job_id: str) -> float:
        """See `StorageUpkeep`."""
        return float(self._call("last_written", checked_id(job_id)))

    def clear_trash(self, older_than_s: float) -> None:
        """See `StorageUpkeep`."""
        self._call("clear_trash", older_than_s)

    def close(self) -> None:
        """End the process, if it runs."""
        with self._lock:
            self._end()

    def _call(self, name: str, *arguments: str | float) -> Any:
        with self._lock:
            try:
                document = self._ask({"call": name, "arguments": arguments})
            except (OSError, ValueError) as error:
                self._end()
                raise StorageUnavailable("the process that looks after the object storage has ended") from error
        if "error" in document:
            kind = getattr(errors, document["error"], DuettoError)
            raise kind(document["detail"])
        return document["value"]

    def _ask(self, document: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.storage.apart"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # It must find the code that this process runs, installed or not.
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                text=True,
                # Ctrl-C at a terminal goes to all processes of the foreground; this one ends with its parent.
                start_new_session=True,
            )
            _send(self._process.stdin, {"settings": self._settings})
        _send(self._process.stdin, document)
        # An empty line, which is no JSON, means that the process has ended: a ValueError.
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() if self._process.stdout else "")
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            # What could not be sent any more is flushed on the way out.
            with suppress(OSError), process:
                pass
            process.wait()


def _send(pipe: IO[str] | None, document: dict[str, Any]) -> None:
    if pipe is None:
        raise BrokenPipeError
    pipe.write(json.dumps(document) + "\n")
    pipe.flush()


def _answer(storage: StorageUpkeep, document: dict[str, Any]) -> dict[str, Any]:
    try:
        value = getattr(storage, document["call"])(*document["arguments"])
        return {"value": [asdict(job) for job in value] if document["call"] == "jobs" else value}
    except DuettoError as error:
        return {"error": type(error).__name__, "detail": error.detail}


def main() -> None:
    """Answer calls until there are no more."""
    # Its parent decides when it ends.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    storage: StorageUpkeep | None = None
    for line in sys.stdin:
        document = json.loads(line)
        if storage is None:
            storage = open_storage(Settings(**document["settings"]))
        else:
            _send(sys.stdout, _answer(storage, document))


if __name__ == "__main__":
    main()
