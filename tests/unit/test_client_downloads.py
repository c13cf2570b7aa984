"""Downloads: whole or not at all, resumed, and checked; over lines that break and past what damages them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import duetto
from app.jobs.store import JobStore
from app.storage.protocol import Storage
from duetto._partial import PartialFile
from tests.both_clients import both_clients
from tests.relay import BreakingLine
from tests.unit.client_service import FILES, RESULT, STEMS, Done, client, done, meddler, url, video
from tests.unit.meddling import Meddler
from tests.unit.test_app_api import finish

__all__ = ["client", "done", "meddler", "url", "video"]

LEFT = STEMS["left.wav"]


@pytest.fixture
def job(url: str, video: Path, done: Done) -> duetto.Job:
    """A job that has succeeded."""
    with duetto.Client(url) as client:
        job = client.submit(video)
        done(job.id)
        return client.job(job)


def ranges(meddler: Meddler) -> list[int]:
    """Where the requests for the left stem began."""
    asked = [seen.headers.get("range", "bytes=0-") for seen in meddler.calls("GET", "/left.wav")]
    return [int(text.removeprefix("bytes=").removesuffix("-")) for text in asked]


@both_clients
def test_every_file_of_a_job(client: Any, job: duetto.Job, tmp_path: Path) -> None:
    dest = tmp_path / "new" / "folder" / "a.wav"
    told: list[duetto.Progress] = []
    assert client.download(job, "left", dest, on_progress=told.append) == dest
    assert dest.read_bytes() == LEFT
    assert [path.name for path in dest.parent.iterdir()] == ["a.wav"]
    assert told[-1].fraction == 1.0
    assert client.download(job.id, "right", str(dest.parent)) == dest.with_name("right.wav")
    assert client.download(job.id, "result", dest.parent).read_bytes() == FILES["result.json"]
    with ZipFile(client.download(job, "stems", dest.parent)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
    assert client.result(job) == RESULT


@both_clients
def test_another_format_has_other_names(
    client: Any, video: Path, store: JobStore, storage: Storage, tmp_path: Path
) -> None:
    job = client.submit(video, format="flac")
    finish(job.id, store, storage)
    assert client.download(job, "left", tmp_path).read_bytes() == b"left.flac" * 100


@both_clients
def test_a_broken_download_goes_on_where_it_stopped(
    make_client: Callable[..., Any], url: str, meddler: Meddler, job: duetto.Job, tmp_path: Path
) -> None:
    told: list[duetto.Progress] = []
    with BreakingLine(url, cuts=[100_000, 0, 50_000]) as line, make_client(line.url) as client:
        client.download(job, "left", tmp_path / "left.wav", on_progress=told.append)
    assert (tmp_path / "left.wav").read_bytes() == LEFT
    first, lost, second, third = ranges(meddler)
    assert first == 0
    assert 0 < second == lost <= 100_000 < third <= 150_000
    assert {"paused", "download"} == {progress.stage for progress in told}


@both_clients
def test_a_line_that_breaks_again_and_again_brings_it_all_the_same(
    make_client: Callable[..., Any], url: str, job: duetto.Job, tmp_path: Path
) -> None:
    with BreakingLine(url, cuts=[20_000] * 12) as line, make_client(line.url, retries=1) as client:
        client.download(job, "left", tmp_path / "left.wav")
        assert line.cuts == []
    assert (tmp_path / "left.wav").read_bytes() == LEFT


@both_clients
def test_the_next_call_goes_on_where_the_last_one_stopped(
    make_client: Callable[..., Any], url: str, meddler: Meddler, job: duetto.Job, tmp_path: Path
) -> None:
    dest = tmp_path / "stems" / "left.wav"
    with BreakingLine(url, cuts=[100_000]) as line, make_client(line.url, retries=0) as client:
        with pytest.raises(duetto.ServerUnreachable, match="broke off"):
            client.download(job, "left", dest)
        assert not dest.exists()
        client.download(job, "left", dest)
    assert dest.read_bytes() == LEFT
    assert ranges(meddler)[:2] == [0, 0]
    assert 0 < ranges(meddler)[2] <= 100_000
    assert [path.name for path in dest.parent.iterdir()] == ["left.wav"]


@both_clients
def test_the_beginning_of_another_file_is_not_used(
    make_client: Callable[..., Any], url: str, job: duetto.Job, video: Path, tmp_path: Path,
    store: JobStore, storage: Storage,
) -> None:  # fmt: skip
    dest = tmp_path / "left.wav"
    with BreakingLine(url, cuts=[100_000]) as line, make_client(line.url, retries=0) as client:
        with pytest.raises(duetto.ServerUnreachable):
            client.download(job, "left", dest)
        other = client.submit(video)
        finish(other.id, store, storage, {"left.wav": LEFT[::-1]})
        client.download(other, "left", dest)
    assert dest.read_bytes() == LEFT[::-1]


@both_clients
def test_what_is_damaged_on_its_way_is_fetched_anew(
    client: Any, meddler: Meddler, job: duetto.Job, tmp_path: Path
) -> None:
    meddler.damage = 1
    client.download(job, "left", tmp_path / "stems" / "left.wav")
    assert (tmp_path / "stems" / "left.wav").read_bytes() == LEFT
    assert ranges(meddler) == [0, 0]
    meddler.damage = 2
    with pytest.raises(duetto.DamagedDownload, match="its digest is not the one"):
        client.download(job, "right", tmp_path / "stems" / "right.wav")
    assert [path.name for path in (tmp_path / "stems").iterdir()] == ["left.wav"]


@both_clients
def test_a_refused_download_leaves_nothing(client: Any, video: Path, tmp_path: Path) -> None:
    with pytest.raises(duetto.StemNotReady) as caught:
        client.download(client.submit(video), "left", tmp_path / "stems" / "left.wav")
    assert caught.value.retry_after_s == 2.0
    assert not (tmp_path / "stems").exists()


@both_clients
def test_a_place_that_cannot_be_written(client: Any, job: duetto.Job, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(duetto.UnusableFile, match="cannot write"):
        client.download(job, "left", tmp_path / "file" / "left.wav")


@both_clients
def test_a_full_disk_keeps_no_half_files(
    client: Any, job: duetto.Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    into = PartialFile._path_of_version

    def on_a_full_disk(self: PartialFile) -> Path:
        path = into(self)
        written.append(path)
        path.symlink_to("/dev/full")
        return path

    monkeypatch.setattr(PartialFile, "_path_of_version", on_a_full_disk)
    with pytest.raises(duetto.UnusableFile, match="No space left"):
        client.download(job, "left", tmp_path / "left.wav")
    assert written
    assert not any(path.is_symlink() for path in written)


HEAD = {"ETag": '"1"', "Content-Length": "10"}


def test_content_that_changes_between_two_parts_is_begun_anew(tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "x", "/x")
    assert file.begin(200, HEAD)
    file.write(b"01234")
    assert file.headers["Range"] == "bytes=5-"
    assert file.headers["If-Range"] == '"1"'
    assert file.begin(200, HEAD | {"ETag": '"2"'})
    file.write(b"abcdefghij")
    file.finish()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"abcdefghij")]


@pytest.mark.parametrize("content_range", ["", "bytes 4-9/10", "bytes 6-9/10", "bytes */10", "items 5-9/10"])
def test_another_part_than_was_asked_for(tmp_path: Path, content_range: str) -> None:
    file = PartialFile(tmp_path / "x", "/x")
    file.begin(200, HEAD)
    file.write(b"01234")
    with pytest.raises(duetto.InvalidAnswer, match="another part"):
        file.begin(206, {"ETag": '"1"', "Content-Range": content_range})


def test_a_file_of_the_wrong_length_is_damaged(tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "x", "/x")
    file.begin(200, HEAD)
    file.write(b"0123456789a")
    with pytest.raises(duetto.DamagedDownload, match="11 bytes came instead of 10"):
        file.finish()
    assert list(tmp_path.iterdir()) == []
    assert "Range" not in file.headers


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_without_a_strong_tag_nothing_is_resumed(tmp_path: Path, etag: str) -> None:
    file = PartialFile(tmp_path / "x", "/x")
    file.begin(200, HEAD | {"ETag": etag})
    file.write(b"01234")
    assert "Range" not in file.headers
    later = PartialFile(tmp_path / "x", "/x")
    assert later.begin(200, HEAD | {"ETag": etag})
    later.write(b"0123456789")
    later.finish()
    assert (tmp_path / "x").read_bytes() == b"0123456789"
