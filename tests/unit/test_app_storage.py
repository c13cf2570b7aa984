"""The storage: nothing half-written is ever seen, no name leaves its root, a deleted job stays deleted."""

from __future__ import annotations

import errno
import os
import threading
import uuid
from pathlib import Path

import pytest

from app.errors import FilesGone, StorageFull
from app.storage import ARTIFACTS, LocalStorage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


@pytest.fixture
def job_id(storage: LocalStorage) -> str:
    """A job with an upload."""
    job_id = uuid.uuid4().hex
    with storage.upload(job_id, "video.mp4") as part:
        part.write(b"video")
    return job_id


def files_under(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def fill(folder: Path, text: str) -> None:
    for name in ARTIFACTS:
        (folder / name).write_text(text)


def test_an_upload_appears_when_it_is_whole(storage: LocalStorage) -> None:
    job_id = uuid.uuid4().hex
    part = storage.upload(job_id, "video.mp4")
    part.write(b"half")
    with pytest.raises(FilesGone):
        storage.upload_path(job_id, "video.mp4")
    part.write(b" and half")
    part.commit()
    assert part.size == 13
    assert storage.upload_path(job_id, "video.mp4").read_bytes() == b"half and half"


def test_an_upload_that_breaks_off_leaves_no_file(storage: LocalStorage, tmp_path: Path) -> None:
    def broken() -> None:
        with storage.upload(uuid.uuid4().hex, "video.mp4") as part:
            part.write(b"half")
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        broken()
    assert files_under(tmp_path) == []


@pytest.mark.parametrize("job_id", ["", "..", "../" * 10 + "aa", "A" * 32, "0" * 31, "0" * 32 + "\n", "0" * 31 + "/"])
def test_an_id_cannot_leave_the_root(storage: LocalStorage, tmp_path: Path, job_id: str) -> None:
    for call in (
        lambda: storage.upload(job_id, "video.mp4"),
        lambda: storage.artifact(job_id, "left.wav"),
        lambda: storage.delete(job_id),
        lambda: storage.publish(job_id, tmp_path),
        lambda: storage.scratch(job_id).__enter__(),
    ):
        with pytest.raises(ValueError, match="32 hexadecimal"):
            call()


@pytest.mark.parametrize("key", ["", ".", "..", "../x", "a/b", "/etc/passwd", "Left.wav", "a\n", ".hidden", "a\x00"])
def test_a_key_cannot_leave_the_job(storage: LocalStorage, job_id: str, key: str) -> None:
    for call in (storage.upload, storage.upload_path, storage.artifact):
        with pytest.raises(ValueError, match="flat"):
            call(job_id, key)


def test_artifacts_appear_together(storage: LocalStorage, job_id: str, tmp_path: Path) -> None:
    with storage.scratch(job_id) as scratch:
        fill(scratch, "one")
        with pytest.raises(FilesGone):
            storage.artifact(job_id, "left.wav")
        assert storage.publish(job_id, scratch)
    assert [storage.artifact(job_id, name).read_text() for name in ARTIFACTS] == ["one"] * 3
    assert len(files_under(tmp_path)) == 4, "the upload and three artifacts, nothing of the scratch"


def test_the_first_of_two_runs_wins(storage: LocalStorage, job_id: str, tmp_path: Path) -> None:
    with storage.scratch(job_id) as first, storage.scratch(job_id) as second:
        fill(first, "one")
        fill(second, "two")
        assert storage.publish(job_id, second)
        assert not storage.publish(job_id, first)
    assert storage.artifact(job_id, "left.wav").read_text() == "two"
    assert len(files_under(tmp_path)) == 4


def test_scratch_is_removed_after_a_failure(storage: LocalStorage, job_id: str, tmp_path: Path) -> None:
    def broken() -> None:
        with storage.scratch(job_id) as scratch:
            fill(scratch, "one")
            raise MemoryError

    with pytest.raises(MemoryError):
        broken()
    assert files_under(tmp_path) == [f"jobs/{job_id}/upload/video.mp4"]


def test_a_job_deleted_while_running_leaves_nothing(storage: LocalStorage, job_id: str, tmp_path: Path) -> None:
    with storage.scratch(job_id) as scratch:
        fill(scratch, "one")
        storage.delete(job_id)
        with pytest.raises(FilesGone):
            storage.publish(job_id, scratch)
        with pytest.raises(FileNotFoundError):
            fill(scratch, "two")
    with pytest.raises(FilesGone), storage.scratch(job_id):
        pass
    assert files_under(tmp_path) == []
    assert list((tmp_path / "jobs").iterdir()) == []
    assert list((tmp_path / "trash").iterdir()) == []


def test_deleting_wins_over_a_writer(storage: LocalStorage, job_id: str, tmp_path: Path) -> None:
    begun, stop = threading.Event(), threading.Event()

    def write() -> None:
        with storage.scratch(job_id) as scratch:
            for index in range(100_000):
                try:
                    (scratch / f"{index}.wav").write_bytes(b"x" * 100)
                except FileNotFoundError:
                    return
                begun.set()
                if stop.is_set():
                    return

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    storage.delete(job_id)
    stop.set()
    writer.join()
    assert list((tmp_path / "jobs").iterdir()) == []


def test_deleting_twice_is_harmless(storage: LocalStorage, job_id: str) -> None:
    storage.delete(job_id)
    storage.delete(job_id)
    with pytest.raises(FilesGone):
        storage.upload_path(job_id, "video.mp4")


def test_a_full_disk_is_told_without_a_path(storage: LocalStorage, job_id: str) -> None:
    part = storage.upload(job_id, "audio.wav")
    # /dev/full is the kernel's own full disk.
    os.dup2(os.open("/dev/full", os.O_WRONLY), part._file.fileno())
    with pytest.raises(StorageFull) as caught:
        part.write(b"x" * (1 << 20))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert "/" not in caught.value.detail
    part.discard()
    with pytest.raises(FilesGone):
        storage.upload_path(job_id, "audio.wav")


def test_writable(storage: LocalStorage, tmp_path: Path) -> None:
    storage.check_writable()
    assert files_under(tmp_path) == []
