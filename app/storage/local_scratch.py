"""Temporary folders of this machine, for a storage that is elsewhere.

Each is locked by the process that uses it (flock), and the lock ends with the process, however that ends. What is not
locked was left by one that was killed, and the next folder that is made sees it removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.storage.local import disk_errors


class LocalScratch:
    """Temporary folders below `root`, which is made when it is needed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Give an empty folder, removed on the way out. Raises `StorageFull` or `StorageUnavailable`."""
        self.clear()
        with disk_errors():
            path, lock = self._make()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)

    def clear(self) -> None:
        """Remove what processes that were killed have left."""
        with suppress(FileNotFoundError):
            for path in self._root.iterdir():
                lock = _lock(path)
                if lock is not None:
                    shutil.rmtree(path, ignore_errors=True)
                    os.close(lock)

    def _make(self) -> tuple[Path, int]:
        while True:
            path = self._root / uuid.uuid4().hex
            path.mkdir(parents=True)
            # Another process that clears may be faster; then this folder is gone, and the next one will do.
            lock = _lock(path)
            if lock is not None and path.exists():
                return path, lock
            if lock is not None:
                os.close(lock)


def _lock(path: Path) -> int | None:
    """Return the descriptor that holds the lock of a folder; None if another process has it, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
