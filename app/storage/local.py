"""Storage on a local (or shared) file system.

::

    root/jobs/<id>/upload/<key>         what was uploaded, under our own names
    root/jobs/<id>/artifacts/<name>     stems, result, pictures, with a manifest; there at once or not at all
    root/jobs/<id>/scratch-<random>/    a worker's, while it works
    root/trash/<random>/                a deleted job, for as long as its removal takes

A folder appears under its final name by one rename, so a reader never sees half of it.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from app.digests import Digest
from app.errors import FilesGone, StorageFull, StorageUnavailable
from app.storage.manifest import MANIFEST, Manifest, manifest_of
from app.storage.names import JOB_ID, checked_id, checked_key
from app.storage.protocol import Published, StoredJob, UploadPart
from app.stored_file import LocalFile

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_COPY_BYTES: Final = 1 << 20


class LocalUploadPart(UploadPart):
    """Written under a temporary name, renamed by `commit`."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        self._file: BinaryIO = self._temporary.open("xb")
        self.size = 0

    def write(self, data: bytes) -> None:
        """See `UploadPart`."""
        with disk_errors():
            self._file.write(data)
        self.size += len(data)

    def commit(self) -> None:
        """See `UploadPart`."""
        with disk_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.rename(self._target)

    def discard(self) -> None:
        """See `UploadPart`."""
        # A full disk refuses the last buffered bytes too; they are dropped anyway.
        with suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)


class LocalStorage:
    """Uploads and artifacts of jobs in a folder; for its methods see `Storage`."""

    def __init__(self, root: Path) -> None:
        self._jobs = root / "jobs"
        self._trash = root / "trash"

    def upload(self, job_id: str, key: str) -> UploadPart:
        """See `Storage`."""
        path = self._upload(job_id, key)
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            return LocalUploadPart(path)

    def open_upload(self, job_id: str, key: str) -> BinaryIO:
        """See `Storage`."""
        path = self._upload(job_id, key)
        try:
            return path.open("rb")
        except FileNotFoundError as error:
            raise _gone(key) from error

    def copy_upload(self, source_id: str, job_id: str, keys: Sequence[str]) -> None:
        """See `Storage`. An uploaded file never changes, so a hard link is a copy; where there are none, bytes are."""
        for key in keys:
            source, target = self._upload(source_id, key), self._upload(job_id, key)
            with disk_errors():
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    _link(source, target)
                except FileNotFoundError as error:
                    raise _gone(key) from error

    @contextmanager
    def fetched(self, job_id: str, keys: Sequence[str]) -> Iterator[Mapping[str, Path]]:
        """See `Storage`; the files are where they always are."""
        files = {key: self._upload(job_id, key) for key in keys}
        for key, path in files.items():
            if not path.is_file():
                raise _gone(key)
        yield files

    @contextmanager
    def scratch(self, job_id: str) -> Iterator[Path]:
        """See `Storage`; the folder is the job's."""
        folder = self._job(job_id) / f"scratch-{uuid.uuid4().hex}"
        try:
            # Without `parents`: the folder of a deleted job must not come back.
            folder.mkdir()
        except FileNotFoundError as error:
            raise _deleted() from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, job_id: str, scratch: Path) -> bool:
        """See `Storage`; `scratch` must be the job's."""
        target = self._job(job_id) / "artifacts"
        if target.exists():
            return False
        try:
            with disk_errors():
                document = manifest_of(scratch).model_dump_json()
                (scratch / MANIFEST).write_text(document, encoding="utf-8")
                for path in (*scratch.iterdir(), scratch):
                    _sync(path)
            scratch.rename(target)
            _sync(target.parent)
        except FileNotFoundError as error:
            raise _deleted() from error
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return False
            raise
        return True

    def is_published(self, job_id: str) -> bool:
        """See `StorageUpkeep`."""
        return (self._job(job_id) / "artifacts" / MANIFEST).is_file()

    def published(self, job_id: str) -> Published:
        """See `Storage`."""
        folder = self._job(job_id) / "artifacts"
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise _deleted() from error

        def file_of(name: str, digest: Digest) -> LocalFile:
            return LocalFile(folder / name, digest)

        return manifest.published(file_of)

    def clear_scratch(self, job_id: str) -> None:
        """See `StorageUpkeep`."""
        for folder in self._job(job_id).glob("scratch-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def delete(self, job_id: str) -> None:
        """See `StorageUpkeep`.

        The folder leaves its place in one rename first, so a worker that still writes into it fails
        instead of filling it again while it is being removed.
        """
        folder = self._job(job_id)
        if not folder.exists():
            return
        grave = self._trash / uuid.uuid4().hex
        try:
            with disk_errors():
                self._trash.mkdir(parents=True, exist_ok=True)
                folder.rename(grave)
        except FileNotFoundError:
            # Another request deletes it at the same moment.
            return
        shutil.rmtree(grave, ignore_errors=True)

    def jobs(self) -> Iterator[StoredJob]:
        """See `StorageUpkeep`."""
        with suppress(FileNotFoundError):
            for folder in self._jobs.iterdir():
                if JOB_ID.fullmatch(folder.name):
                    yield StoredJob(folder.name, has_scratch=any(folder.glob("scratch-*")))

    def last_written(self, job_id: str) -> float:
        """See `StorageUpkeep`."""
        newest = 0.0
        folder = self._job(job_id)
        for path in (folder, *folder.rglob("*")):
            # Another process may be removing the folder.
            with suppress(FileNotFoundError):
                newest = max(newest, path.stat().st_mtime)
        return newest

    def clear_trash(self, older_than_s: float) -> None:
        """See `StorageUpkeep`: the rest of deletions that were cut short."""
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
        """See `Storage`."""
        probe = self._trash / uuid.uuid4().hex
        with disk_errors():
            self._trash.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"duetto")
            probe.unlink()

    def _job(self, job_id: str) -> Path:
        return self._jobs / checked_id(job_id)

    def _upload(self, job_id: str, key: str) -> Path:
        return self._job(job_id) / "upload" / checked_key(key)


@contextmanager
def disk_errors() -> Iterator[None]:
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


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError as error:
        # What file systems without hard links answer, and some whose links are counted out.
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}:
            raise
        with source.open("rb") as file, LocalUploadPart(target) as part:
            for block in iter(lambda: file.read(_COPY_BYTES), b""):
                part.write(block)


def _gone(key: str) -> FilesGone:
    return FilesGone(f"the job has no file {key}; it may have been removed")


def _deleted() -> FilesGone:
    return FilesGone("the job's files have been removed")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
