"""Artifact storage on a local (or shared) file system.

::

    root/jobs/<id>/upload/<key>         what was uploaded, under our own names
    root/jobs/<id>/artifacts/<name>     left.wav, right.wav, result.json; there at once or not at all
    root/jobs/<id>/scratch-<random>/    a worker's, while it works
    root/trash/<random>/                a deleted job, for as long as its removal takes

Only ids of 32 hexadecimal digits and flat lower-case keys become paths, so no name can leave `root`.
A folder appears under its final name by one rename, so a reader never sees half of it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from app.errors import FilesGone, StorageFull, StorageUnavailable

LEFT: Final = "left.wav"
RIGHT: Final = "right.wav"
RESULT: Final = "result.json"
ARTIFACTS: Final = (LEFT, RIGHT, RESULT)

_ID: Final = re.compile(r"[0-9a-f]{32}")
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}(\.[a-z0-9]{1,8})?")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class UploadPart:
    """One file on its way in: written under a temporary name, renamed by `commit`, removed otherwise."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        self._file: BinaryIO = self._temporary.open("xb")
        self.size = 0

    @property
    def path(self) -> Path:
        """Where the file lies once committed."""
        return self._target

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises
        ------
        StorageFull
            If there is no space left.
        """
        with _storage_errors():
            self._file.write(data)
        self.size += len(data)

    def commit(self) -> None:
        """Put the file under its final name, written through to the disk.

        Raises
        ------
        StorageFull
            If there is no space left.
        """
        with _storage_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.rename(self._target)

    def discard(self) -> None:
        """Drop what has been written; after `commit` this does nothing."""
        # A full disk refuses the last buffered bytes too; they are dropped anyway.
        with suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        self.discard()


class LocalStorage:
    """Uploads and artifacts of jobs in a folder.

    Every method that takes a job's id raises `ValueError` if it is not 32 hexadecimal digits.
    """

    def __init__(self, root: Path) -> None:
        self._jobs = root / "jobs"
        self._trash = root / "trash"

    def upload(self, job_id: str, key: str) -> UploadPart:
        """Open a file of the upload for writing. As a context manager it commits, or discards on an error.

        Raises
        ------
        ValueError
            If `key` is not a flat lower-case name.
        StorageFull, StorageUnavailable
            If it cannot be written.
        """
        path = self._upload(job_id, key)
        with _storage_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            return UploadPart(path)

    def upload_path(self, job_id: str, key: str) -> Path:
        """Return where an uploaded file lies.

        Raises
        ------
        ValueError
            If `key` is not a flat lower-case name.
        FilesGone
            If there is none of this key, or the job was deleted.
        """
        return _present(self._upload(job_id, key))

    def artifact(self, job_id: str, name: str) -> Path:
        """Return where a published file lies; `name` is one of `ARTIFACTS`.

        Raises
        ------
        ValueError
            If `name` is not a flat lower-case name.
        FilesGone
            If it was not published, or the job was deleted.
        """
        return _present(self._job(job_id) / "artifacts" / _checked(name))

    @contextmanager
    def scratch(self, job_id: str) -> Iterator[Path]:
        """Give a temporary folder within the job's, removed on the way out unless published.

        Raises
        ------
        FilesGone
            If the job was deleted.
        """
        folder = self._job(job_id) / f"scratch-{uuid.uuid4().hex}"
        try:
            # Without `parents`: the folder of a deleted job must not come back.
            folder.mkdir()
        except FileNotFoundError as error:
            raise FilesGone("the job's folder has been removed") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, job_id: str, scratch: Path) -> bool:
        """Make a scratch folder the job's artifacts, written through to the disk, all at once.

        Returns
        -------
        True, or False if an earlier run has published: its files stay and these are left in `scratch`.

        Raises
        ------
        FilesGone
            If the job was deleted.
        StorageFull
            If there is no space left.
        """
        target = self._job(job_id) / "artifacts"
        try:
            with _storage_errors():
                for path in (*scratch.iterdir(), scratch):
                    _sync(path)
            scratch.rename(target)
            _sync(target.parent)
        except FileNotFoundError as error:
            raise FilesGone("the job's folder has been removed") from error
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return False
            raise
        return True

    def clear_scratch(self, job_id: str) -> None:
        """Remove what killed attempts of a job that has ended left: no attempt counts any more."""
        for folder in self._job(job_id).glob("scratch-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def delete(self, job_id: str) -> None:
        """Remove everything of the job, if there is anything. Raises `StorageUnavailable` if it cannot be written.

        The folder leaves its place in one rename first, so a worker that still writes into it fails
        instead of filling it again while it is being removed.
        """
        folder = self._job(job_id)
        if not folder.exists():
            return
        grave = self._trash / uuid.uuid4().hex
        try:
            with _storage_errors():
                self._trash.mkdir(parents=True, exist_ok=True)
                folder.rename(grave)
        except FileNotFoundError:
            # Another request deletes it at the same moment.
            return
        shutil.rmtree(grave, ignore_errors=True)

    def job_ids(self) -> Iterator[str]:
        """Yield the ids of all jobs that have a folder, known to the job store or not."""
        with suppress(FileNotFoundError):
            for folder in self._jobs.iterdir():
                if _ID.fullmatch(folder.name):
                    yield folder.name

    def last_written(self, job_id: str) -> float:
        """Return when something in the job's folder was last written, in seconds since the epoch; 0 without one."""
        newest = 0.0
        folder = self._job(job_id)
        for path in (folder, *folder.rglob("*")):
            # Another process may be removing the folder.
            with suppress(FileNotFoundError):
                newest = max(newest, path.stat().st_mtime)
        return newest

    def clear_trash(self, older_than_s: float) -> None:
        """Remove what deletions that were cut short have left, if it was last written so many seconds ago."""
        with suppress(FileNotFoundError):
            for grave in self._trash.iterdir():
                with suppress(FileNotFoundError):
                    if grave.stat().st_mtime > time.time() - older_than_s:
                        continue
                    if grave.is_dir():
                        shutil.rmtree(grave, ignore_errors=True)
                    else:
                        grave.unlink()

    def check_writable(self) -> None:
        """Return if a file can be written.

        Raises
        ------
        StorageFull, StorageUnavailable
            If not.
        """
        probe = self._trash / uuid.uuid4().hex
        with _storage_errors():
            self._trash.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"duetto")
            probe.unlink()

    def _job(self, job_id: str) -> Path:
        if not _ID.fullmatch(job_id):
            raise ValueError(f"a job's id is 32 hexadecimal digits, not {job_id!r}")
        return self._jobs / job_id

    def _upload(self, job_id: str, key: str) -> Path:
        return self._job(job_id) / "upload" / _checked(key)


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"a storage key is a flat lower-case name like left.wav, not {key!r}")
    return key


def _present(path: Path) -> Path:
    if not path.is_file():
        raise FilesGone(f"the job has no file {path.name}; it may have been removed")
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Turn a full or read-only disk into our own errors; the system's message would show a path."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                "no space is left for this file; ask the operator for space, or delete jobs that are done"
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EEXIST}:
            raise StorageUnavailable("the data folder cannot be written; the operator must see to it") from error
        raise
