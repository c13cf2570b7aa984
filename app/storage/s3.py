"""Storage in a bucket that speaks S3.

::

    jobs/<id>/upload/<key>/<block>                  what was uploaded, in blocks (app/storage/blocks.py)
    jobs/<id>/attempts/<random>/<name>/<block>      what an attempt has made
    jobs/<id>/.manifest.json                        which attempt counts, and the digests of its files
    probes/<random>                                 written and removed to see whether that can be done

S3 cannot rename. An attempt writes below a prefix of its own, and then, if there is none yet, the manifest that
names the attempt: one small object, which appears whole or not at all. Readers go by the manifest.
"""

from __future__ import annotations

import io
import itertools
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

from app.digests import Digest
from app.errors import DuettoError, FilesGone, StorageUnavailable
from app.settings import Settings
from app.storage.blocks import BlockFile, BlockUpload, RowReader, get_part, put_file, whole_rows
from app.storage.bucket import RETRY_AFTER_S, Bucket, Entry
from app.storage.local import disk_errors
from app.storage.local_scratch import LocalScratch
from app.storage.manifest import MANIFEST, Manifest, manifest_of
from app.storage.names import JOB_ID, checked_id, checked_key
from app.storage.protocol import Published, StoredJob, UploadPart

_JOBS: Final = "jobs"
_PROBES: Final = "probes"
_FETCHED_AT_ONCE: Final = 4  # files, each with a block in memory
# An attempt that does not know yet that its job is deleted may write while we delete.
_DELETE_ROUNDS: Final = 3


class S3Storage:
    """Uploads and artifacts of jobs in a bucket; for its methods see `Storage`.

    What needs a folder of this machine takes one below the setting `data_dir`.

    Raises
    ------
    ConfigurationError
        If the setting `storage` is no address of a bucket.
    """

    def __init__(self, settings: Settings) -> None:
        self._bucket = Bucket(settings)
        self._scratch = LocalScratch(settings.data_dir / "scratch")
        self._keeps_first = False

    def upload(self, job_id: str, key: str) -> UploadPart:
        """See `Storage`."""
        return BlockUpload(self._bucket, self._upload(job_id, key))

    def open_upload(self, job_id: str, key: str) -> BinaryIO:
        """See `Storage`."""
        row = whole_rows(self._bucket.list(self._upload(job_id, key))).get(key)
        if row is None:
            raise _gone(key)
        # RawIOBase counts as BinaryIO for all that reads files, but not for the type checker.
        return cast(BinaryIO, io.BufferedReader(RowReader(self._bucket, row)))

    def copy_upload(self, source_id: str, job_id: str, keys: Sequence[str]) -> None:
        """See `Storage`; the server copies. A file's last block, which makes it whole, comes last."""
        rows = whole_rows(self._bucket.list(f"{self._job(source_id)}/upload"))
        for key in keys:
            folder = self._upload(job_id, key)
            if key not in rows:
                raise _gone(key)
            for entry in rows[key]:
                if not self._bucket.copy(entry.key, f"{folder}/{entry.key.rpartition('/')[2]}"):
                    raise _gone(key)

    @contextmanager
    def fetched(self, job_id: str, keys: Sequence[str]) -> Iterator[Mapping[str, Path]]:
        """See `Storage`; they are copied to this machine."""
        rows = whole_rows(self._bucket.list(f"{self._job(job_id)}/upload"))
        for key in keys:
            if checked_key(key) not in rows:
                raise _gone(key)
        with self._scratch.folder() as folder:
            files = {key: folder / key for key in keys}
            with ThreadPoolExecutor(_FETCHED_AT_ONCE, thread_name_prefix="fetch") as pool:
                for done in [pool.submit(self._fetch, rows[key], path) for key, path in files.items()]:
                    done.result()
            yield files

    @contextmanager
    def scratch(self, job_id: str) -> Iterator[Path]:
        """See `Storage`."""
        self._check_is_there(job_id)
        with self._scratch.folder() as folder:
            yield folder

    def publish(self, job_id: str, scratch: Path) -> bool:
        """See `Storage`."""
        target = f"{self._job(job_id)}/{MANIFEST}"
        attempt = uuid.uuid4().hex
        folder = self._attempt(job_id, attempt)
        if self._bucket.get(target) is not None:
            return False
        self._check_is_there(job_id)
        try:
            with disk_errors():
                manifest = manifest_of(scratch, attempt)
                for name in manifest.files:
                    put_file(self._bucket, f"{folder}/{name}", scratch / name)
            # Again: it takes a while until gigabytes are written.
            self._check_is_there(job_id)
            is_first = self._bucket.create(target, manifest.model_dump_json().encode())
            if not is_first:
                # A request that was sent again because its answer was lost finds what it has written itself.
                winner = self._manifest(job_id)
                is_first = winner is not None and winner.attempt == attempt
        except BaseException:
            # What is left here is found by `clear_scratch`, `delete` and `jobs`.
            with suppress(DuettoError):
                self._delete(folder)
            raise
        if not is_first:
            self._delete(folder)
        return is_first

    def is_published(self, job_id: str) -> bool:
        """See `StorageUpkeep`."""
        return self._manifest(job_id) is not None

    def published(self, job_id: str) -> Published:
        """See `Storage`."""
        manifest = self._manifest(job_id)
        if manifest is None:
            raise FilesGone("the job's files have been removed")
        folder = self._attempt(job_id, manifest.attempt)

        def file_of(name: str, digest: Digest) -> BlockFile:
            return BlockFile(self._bucket, f"{folder}/{name}", name, digest)

        return manifest.published(file_of)

    def clear_scratch(self, job_id: str) -> None:
        """See `StorageUpkeep`."""
        manifest = self._manifest(job_id)
        kept = "" if manifest is None else f"{self._attempt(job_id, manifest.attempt)}/"
        entries = self._bucket.list(f"{self._job(job_id)}/attempts")
        self._bucket.delete([entry.key for entry in entries if not kept or not entry.key.startswith(kept)])

    def delete(self, job_id: str) -> None:
        """See `StorageUpkeep`. The manifest goes first, so that nobody begins to read."""
        folder = self._job(job_id)
        self._bucket.delete([f"{folder}/{MANIFEST}"])
        for _ in range(_DELETE_ROUNDS):
            if not self._delete(folder):
                return

    def jobs(self) -> Iterator[StoredJob]:
        """See `StorageUpkeep`; one listing of the whole bucket, a thousand objects a request."""
        for job_id, entries in itertools.groupby(self._bucket.list(_JOBS), _job_of):
            if not JOB_ID.fullmatch(job_id):
                continue
            names = [entry.key.split("/")[2:4] for entry in entries]
            attempts = {rest[1] for rest in names if rest[0] == "attempts"}
            yield StoredJob(job_id, has_scratch=len(attempts) > int([MANIFEST] in names))

    def last_written(self, job_id: str) -> float:
        """See `StorageUpkeep`."""
        return max((entry.written_at for entry in self._bucket.list(self._job(job_id))), default=0.0)

    def clear_trash(self, older_than_s: float) -> None:
        """See `StorageUpkeep`: probes that were not removed, and what was left on this machine."""
        self._scratch.clear()
        oldest_kept = time.time() - older_than_s
        self._bucket.delete([entry.key for entry in self._bucket.list(_PROBES) if entry.written_at < oldest_kept])

    def check_writable(self) -> None:
        """See `Storage`. The first time it also sees whether the server keeps the first of two objects."""
        probe = f"{_PROBES}/{uuid.uuid4().hex}"
        self._bucket.create(probe, b"duetto")
        if not self._keeps_first:
            self._keeps_first = not self._bucket.create(probe, b"second")
        self._bucket.delete([probe])
        if not self._keeps_first:
            raise StorageUnavailable(
                "the object storage ignores `If-None-Match: *`, without which two workers could publish the same job; "
                "the operator must choose one that honours it",
                retry_after_s=RETRY_AFTER_S,
            )

    def _fetch(self, row: Sequence[Entry], path: Path) -> None:
        with disk_errors(), path.open("wb") as file:
            for entry in row:
                file.write(get_part(self._bucket, entry.key, 0, entry.size) if entry.size else b"")

    def _manifest(self, job_id: str) -> Manifest | None:
        document = self._bucket.get(f"{self._job(job_id)}/{MANIFEST}")
        return None if document is None else Manifest.model_validate_json(document)

    def _check_is_there(self, job_id: str) -> None:
        """Raise `FilesGone` if the job was deleted: its upload went too. Nothing may come back after that."""
        if next(self._bucket.list(f"{self._job(job_id)}/upload"), None) is None:
            raise FilesGone("the job's files have been removed")

    def _delete(self, folder: str) -> bool:
        """Remove all objects below a folder. Return whether there were any."""
        keys = [entry.key for entry in self._bucket.list(folder)]
        self._bucket.delete(keys)
        return bool(keys)

    def _job(self, job_id: str) -> str:
        return f"{_JOBS}/{checked_id(job_id)}"

    def _upload(self, job_id: str, key: str) -> str:
        return f"{self._job(job_id)}/upload/{checked_key(key)}"

    def _attempt(self, job_id: str, attempt: str) -> str:
        return f"{self._job(job_id)}/attempts/{attempt}"


def _job_of(entry: Entry) -> str:
    return entry.key.split("/")[1]


def _gone(key: str) -> FilesGone:
    return FilesGone(f"the job has no file {key}; it may have been removed")
