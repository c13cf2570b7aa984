"""What every kind of storage can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from app.digests import Digest
from app.errors import FilesGone
from app.stored_file import StoredFile


class UploadPart(ABC):
    """One file on its way in. A context manager: it is there, whole, on a clean exit, and gone when the body raised."""

    size: int = 0  # bytes so far

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Append `data`. Raises `StorageFull` or `StorageUnavailable`."""

    @abstractmethod
    def commit(self) -> None:
        """Let the file appear under its name, safely stored. Raises `StorageFull` or `StorageUnavailable`."""

    @abstractmethod
    def discard(self) -> None:
        """Drop what has been written; after `commit` this does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.discard()


@dataclass(frozen=True, slots=True)
class Published:
    """The artifacts of a job: all of them, as they will stay.

    Attributes
    ----------
    files : by name, in the order of names
    zip_digest : of the zip that `app.storage.manifest.zip_of` makes of them
    """

    files: Mapping[str, StoredFile]
    zip_digest: Digest

    def file(self, name: str) -> StoredFile:
        """Return one of the files. Raises `FilesGone` if there is none of this name."""
        try:
            return self.files[name]
        except KeyError:
            raise FilesGone(f"the job has no file {name}; it has {', '.join(self.files)}") from None


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job that has files. `has_scratch`: some are of attempts that have not published, or not yet."""

    id: str
    has_scratch: bool


class StorageUpkeep(Protocol):
    """The part of a storage that looks after jobs without reading their files.

    Every method that takes a job's id raises `ValueError` if it is not 32 hexadecimal digits, and all raise
    `StorageUnavailable` if the storage cannot be used.
    """

    def is_published(self, job_id: str) -> bool:
        """Return whether an attempt has published the job's artifacts."""

    def clear_scratch(self, job_id: str) -> None:
        """Remove what attempts left of a job that has ended: none of them counts any more."""

    def delete(self, job_id: str) -> None:
        """Remove everything of the job, if there is anything."""

    def jobs(self) -> Iterator[StoredJob]:
        """Yield all jobs that have files, known to the job store or not."""

    def last_written(self, job_id: str) -> float:
        """Return when something of the job was last written, in seconds since the epoch; 0 without anything."""

    def clear_trash(self, older_than_s: float) -> None:
        """Remove what belongs to no job and was last written so many seconds ago."""


class Storage(StorageUpkeep, Protocol):
    """Uploads and artifacts of jobs. All methods block."""

    def upload(self, job_id: str, key: str) -> UploadPart:
        """Open a file of the upload for writing.

        Raises
        ------
        ValueError
            If `key` is not a flat lower-case name.
        StorageFull, StorageUnavailable
            If it cannot be written.
        """

    def open_upload(self, job_id: str, key: str) -> BinaryIO:
        """Open an uploaded file for reading, from any place of it.

        Raises
        ------
        ValueError
            If `key` is not a flat lower-case name.
        FilesGone
            If there is none of this key, or the job was deleted.
        """

    def copy_upload(self, source_id: str, job_id: str, keys: Sequence[str]) -> None:
        """Give another job the uploaded files of `source_id`, by key; each job keeps its own when the other goes.

        Raises
        ------
        FilesGone
            If one is missing, or the job was deleted. What was copied before that stays, until `delete`.
        StorageFull, StorageUnavailable
            If they cannot be written.
        """

    def fetched(self, job_id: str, keys: Sequence[str]) -> AbstractContextManager[Mapping[str, Path]]:
        """Give uploaded files as files of this machine, by key, until the way out.

        Raises
        ------
        FilesGone
            If one is missing, or the job was deleted.
        StorageFull
            If this machine has no space for them.
        """

    def scratch(self, job_id: str) -> AbstractContextManager[Path]:
        """Give a temporary folder of this machine, removed on the way out unless published.

        Raises
        ------
        FilesGone
            If the job was deleted.
        """

    def publish(self, job_id: str, scratch: Path) -> bool:
        """Make the files of a scratch folder the job's artifacts, safely stored, all at once.

        Returns
        -------
        True, or False if an earlier run has published: its files stay.

        Raises
        ------
        ValueError
            If a file's name is not a flat lower-case one.
        FilesGone
            If the job was deleted.
        StorageFull
            If there is no space left.
        """

    def published(self, job_id: str) -> Published:
        """Return the job's artifacts. Raises `FilesGone` if there are none, or the job was deleted."""

    def check_writable(self) -> None:
        """Return if files can be written; raise `StorageFull` or `StorageUnavailable` if not."""
