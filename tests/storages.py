"""Both kinds of storage, for tests that must pass on each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.storage.protocol import Storage

# Says to the fixture `settings`, and so to all that is built on it, which kind of storage to name.
both_storages = pytest.mark.parametrize("settings", ["local", "s3"], indirect=True)

# The fixture `stored`: returns what lies in the storage, by path or key, in order.
Stored = Callable[[], list[str]]


def read_upload(storage: Storage, job_id: str, key: str) -> bytes:
    with storage.open_upload(job_id, key) as file:
        return file.read()


def read_artifact(storage: Storage, job_id: str, name: str) -> bytes:
    file = storage.published(job_id).file(name)
    with file.open() as read:
        return b"".join(read(0, file.digest.size))
