"""The storage, both kinds: nothing half-written is ever seen, no name leaves its place, a deleted job stays deleted."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from app.digests import digest_of
from app.errors import FilesGone, StorageFull
from app.settings import Settings
from app.stem_names import artifact_names
from app.storage import open_storage, open_upkeep
from app.storage.blocks import BLOCK_BYTES
from app.storage.local import LocalStorage
from app.storage.local_scratch import LocalScratch
from app.storage.protocol import Storage, StoredJob
from app.stored_zip import length_of, read_segments, stored_zip
from tests.storages import Stored, both_storages, read_artifact, read_upload

ROOT = Path(__file__).parents[2]
ARTIFACTS = artifact_names("wav")
# Two blocks of an object storage and a bit.
LARGE = os.urandom(1 << 20) * (2 * BLOCK_BYTES >> 20) + b"and a bit"


@pytest.fixture
def job_id(storage: Storage) -> str:
    """A job with an upload."""
    job_id = uuid.uuid4().hex
    with storage.upload(job_id, "video.mp4") as part:
        part.write(b"video")
    return job_id


def fill(folder: Path, text: str) -> None:
    for name in ARTIFACTS:
        (folder / name).write_text(text)


def artifact(storage: Storage, job_id: str) -> str:
    return read_artifact(storage, job_id, ARTIFACTS[0]).decode()


@both_storages
def test_an_upload_appears_when_it_is_whole(storage: Storage) -> None:
    job_id = uuid.uuid4().hex
    part = storage.upload(job_id, "video.mp4")
    part.write(LARGE)
    with pytest.raises(FilesGone):
        storage.open_upload(job_id, "video.mp4")
    with pytest.raises(FilesGone), storage.fetched(job_id, ["video.mp4"]):
        pass
    part.write(b" and half")
    part.commit()
    part.discard()
    assert part.size == len(LARGE) + 9
    assert read_upload(storage, job_id, "video.mp4") == LARGE + b" and half"


@both_storages
@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES])
def test_uploads_of_any_size(storage: Storage, size: int) -> None:
    job_id, data = uuid.uuid4().hex, LARGE[:size]
    with storage.upload(job_id, "audio.wav") as part:
        for start in range(0, size, 3 << 20):
            part.write(data[start : start + (3 << 20)])
    assert read_upload(storage, job_id, "audio.wav") == data
    with storage.fetched(job_id, ["audio.wav"]) as files:
        assert files["audio.wav"].read_bytes() == data


@both_storages
def test_an_upload_can_be_read_from_any_place(storage: Storage) -> None:
    job_id = uuid.uuid4().hex
    with storage.upload(job_id, "frames.zip") as part:
        part.write(LARGE)
    with storage.open_upload(job_id, "frames.zip") as file:
        assert file.seek(-20, io.SEEK_END) == len(LARGE) - 20
        assert file.read() == LARGE[-20:]
        assert file.seek(BLOCK_BYTES - 5) == BLOCK_BYTES - 5
        assert file.read(10) == LARGE[BLOCK_BYTES - 5 : BLOCK_BYTES + 5]
        assert file.seek(1, io.SEEK_CUR) == BLOCK_BYTES + 6
        assert file.seek(len(LARGE) + 5) == len(LARGE) + 5
        assert file.read(1) == b""


@both_storages
def test_an_upload_that_breaks_off_leaves_no_file(storage: Storage, stored: Stored) -> None:
    def broken() -> None:
        with storage.upload(uuid.uuid4().hex, "video.mp4") as part:
            part.write(LARGE)
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        broken()
    assert stored() == []


@both_storages
def test_a_worker_gets_the_files_that_it_asks_for(storage: Storage, job_id: str, stored: Stored) -> None:
    keys = [f"frame-{index:06d}.png" for index in range(20)]
    for key in keys:
        with storage.upload(job_id, key) as part:
            part.write(key.encode())
    before = stored()
    with storage.fetched(job_id, keys[5:]) as files:
        assert {key: path.read_bytes() for key, path in files.items()} == {key: key.encode() for key in keys[5:]}
        assert {path.suffix for path in files.values()} == {".png"}
    assert stored() == before
    with pytest.raises(FilesGone, match=r"audio\.wav"), storage.fetched(job_id, ["audio.wav"]):
        pass


@both_storages
@pytest.mark.parametrize("job_id", ["", "..", "../" * 10 + "aa", "A" * 32, "0" * 31, "0" * 32 + "\n", "0" * 31 + "/"])
def test_an_id_cannot_leave_its_place(storage: Storage, tmp_path: Path, job_id: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: storage.upload(job_id, "video.mp4"),
        lambda: storage.open_upload(job_id, "video.mp4"),
        lambda: storage.fetched(job_id, ["video.mp4"]).__enter__(),
        lambda: storage.published(job_id),
        lambda: storage.is_published(job_id),
        lambda: storage.delete(job_id),
        lambda: storage.last_written(job_id),
        lambda: storage.clear_scratch(job_id),
        lambda: storage.publish(job_id, tmp_path),
        lambda: storage.scratch(job_id).__enter__(),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="32 hexadecimal"):
            call()


@both_storages
@pytest.mark.parametrize("key", ["", ".", "..", "../x", "a/b", "/etc/passwd", "Left.wav", "a\n", ".hidden", "a\x00"])
def test_a_key_cannot_leave_the_job(storage: Storage, job_id: str, key: str) -> None:
    for call in (storage.upload, storage.open_upload):
        with pytest.raises(ValueError, match="flat"):
            call(job_id, key)
    with pytest.raises(ValueError, match="flat"), storage.fetched(job_id, [key]):
        pass


@both_storages
def test_only_flat_names_are_published(storage: Storage, job_id: str, stored: Stored) -> None:
    before = stored()
    with storage.scratch(job_id) as scratch:
        fill(scratch, "one")
        (scratch / "Left over.tmp").touch()
        with pytest.raises(ValueError, match="flat"):
            storage.publish(job_id, scratch)
    assert stored() == before
    assert not storage.is_published(job_id)


@both_storages
def test_artifacts_appear_together(storage: Storage, job_id: str, stored: Stored) -> None:
    before = stored()
    with storage.scratch(job_id) as scratch:
        fill(scratch, "one")
        with pytest.raises(FilesGone):
            storage.published(job_id)
        assert not storage.is_published(job_id)
        assert storage.publish(job_id, scratch)
    assert storage.is_published(job_id)
    assert [read_artifact(storage, job_id, name) for name in ARTIFACTS] == [b"one"] * 3
    assert len(stored()) == len(before) + 4, "three artifacts and their manifest, nothing of the scratch"
    with pytest.raises(FilesGone, match=r"no file left\.flac; it has left\.wav, right\.wav, result\.json"):
        storage.published(job_id).file("left.flac")


@both_storages
def test_artifacts_are_known_by_their_digests(storage: Storage, job_id: str) -> None:
    contents = {"left.flac": LARGE, "right.flac": b"", "result.json": b"{}"}
    with storage.scratch(job_id) as scratch:
        for name, data in contents.items():
            (scratch / name).write_bytes(data)
        storage.publish(job_id, scratch)
    published = storage.published(job_id)
    assert list(published.files) == list(contents)
    for name, data in contents.items():
        file = published.file(name)
        assert (file.name, file.digest) == (name, digest_of([data]))
        with file.open() as read:
            assert b"".join(read(0, len(data))) == data
    segments = stored_zip(list(published.files.values()))
    whole = b"".join(read_segments(segments, 0, length_of(segments)))
    assert published.zip_digest.sha256 == hashlib.sha256(whole).hexdigest()
    with published.file("left.flac").open() as read:
        for start, stop in ((0, 1), (BLOCK_BYTES - 3, BLOCK_BYTES + 3), (len(LARGE) - 1, len(LARGE)), (7, 7)):
            assert b"".join(read(start, stop)) == LARGE[start:stop]
        assert max(map(len, read(0, len(LARGE)))) <= 1 << 20


@both_storages
def test_the_first_of_two_runs_wins(storage: Storage, job_id: str, stored: Stored) -> None:
    before = stored()
    with storage.scratch(job_id) as first, storage.scratch(job_id) as second:
        fill(first, "one")
        fill(second, "two")
        assert storage.publish(job_id, second)
        assert not storage.publish(job_id, first)
    assert artifact(storage, job_id) == "two"
    assert len(stored()) == len(before) + 4


@both_storages
def test_of_many_runs_at_once_one_wins(settings: Settings, storage: Storage, job_id: str, stored: Stored) -> None:
    before = stored()
    won: list[str] = []
    begun = threading.Barrier(6)

    def run(text: str) -> None:
        own = open_storage(settings)
        with own.scratch(job_id) as scratch:
            fill(scratch, text)
            begun.wait()
            if own.publish(job_id, scratch):
                won.append(text)

    threads = [threading.Thread(target=run, args=(str(index),)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert [artifact(storage, job_id)] == won
    assert len(stored()) == len(before) + 4


@both_storages
def test_scratch_is_removed_after_a_failure(storage: Storage, job_id: str, stored: Stored) -> None:
    before = stored()

    def broken() -> None:
        with storage.scratch(job_id) as scratch:
            fill(scratch, "one")
            raise MemoryError

    with pytest.raises(MemoryError):
        broken()
    assert stored() == before


@both_storages
def test_a_job_deleted_while_running_leaves_nothing(storage: Storage, job_id: str, stored: Stored) -> None:
    with storage.scratch(job_id) as scratch:
        fill(scratch, "one")
        storage.delete(job_id)
        with pytest.raises(FilesGone):
            storage.publish(job_id, scratch)
    for late in (storage.scratch(job_id), storage.fetched(job_id, ["video.mp4"])):
        with pytest.raises(FilesGone), late:
            pass
    with pytest.raises(FilesGone):
        storage.published(job_id)
    assert not storage.is_published(job_id)
    assert stored() == []
    assert list(storage.jobs()) == []


@both_storages
def test_deleting_twice_is_harmless(storage: Storage, job_id: str) -> None:
    storage.delete(job_id)
    storage.delete(job_id)
    with pytest.raises(FilesGone):
        storage.open_upload(job_id, "video.mp4")


@both_storages
def test_jobs_are_told_apart(storage: Storage, job_id: str) -> None:
    published = uuid.uuid4().hex
    for key in ("video.mp4", "audio.wav"):
        with storage.upload(published, key) as part:
            part.write(LARGE)
    with storage.scratch(published) as scratch:
        fill(scratch, "one")
        storage.publish(published, scratch)
    assert {job.id: job for job in storage.jobs()} == {
        job_id: StoredJob(job_id, has_scratch=False),
        published: StoredJob(published, has_scratch=False),
    }
    assert storage.last_written(published) >= storage.last_written(job_id) > 1.7e9
    assert storage.last_written("0" * 32) == 0
    storage.delete(published)
    assert [job.id for job in storage.jobs()] == [job_id]


@both_storages
def test_writable(storage: Storage, stored: Stored) -> None:
    storage.check_writable()
    storage.check_writable()
    assert stored() == []


def test_deleting_wins_over_a_writer(storage: Storage, job_id: str, settings: Settings) -> None:
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
    assert list((settings.data_dir / "jobs").iterdir()) == []
    assert list((settings.data_dir / "trash").iterdir()) == []


def test_a_full_disk_is_told_without_a_path(tmp_path: Path) -> None:
    storage, job_id = LocalStorage(tmp_path), uuid.uuid4().hex
    part = storage.upload(job_id, "audio.wav")
    # /dev/full is the kernel's own full disk.
    os.dup2(os.open("/dev/full", os.O_WRONLY), part._file.fileno())  # type: ignore[attr-defined]
    with pytest.raises(StorageFull) as caught:
        part.write(b"x" * (1 << 20))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert "/" not in caught.value.detail
    part.discard()
    with pytest.raises(FilesGone):
        storage.open_upload(job_id, "audio.wav")


def test_a_folder_needs_no_process_of_its_own(tmp_path: Path) -> None:
    assert isinstance(open_upkeep(Settings(data_dir=tmp_path)), LocalStorage)


HOLD = """
import sys
from pathlib import Path
from app.storage.local_scratch import LocalScratch
with LocalScratch(Path(sys.argv[1])).folder() as folder:
    (folder / "left.wav").write_bytes(b"half a stem")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_scratch_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    scratch = LocalScratch(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        with scratch.folder() as own:
            assert set(tmp_path.iterdir()) == {own, folder}
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert list(tmp_path.iterdir()) == [folder]
        with scratch.folder() as own:
            assert list(tmp_path.iterdir()) == [own]
    assert list(tmp_path.iterdir()) == []
