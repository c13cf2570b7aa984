"""Downloads: the zip, digests, ranges and what is not sent again."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
import zlib
from pathlib import Path

import httpx
import pytest

from app.api.download import parse_range
from app.digests import Digest
from app.errors import RangeNotSatisfiable
from app.jobs.store import JobStore
from app.stem_names import artifact_names
from app.storage.protocol import Storage
from app.stored_file import LocalFile
from app.stored_zip import Segment, length_of, read_segments, stored_zip
from tests.storages import Stored, both_storages
from tests.unit.test_app_api import finish, post
from tests.unit.test_app_bad_input import problem

PATHS = ["stems/left.wav", "stems/right.wav", "result", "stems.zip"]


@pytest.fixture
def job(client: httpx.Client, store: JobStore, storage: Storage) -> str:
    """The path of a job that has succeeded."""
    job_id = post(client)["id"]
    finish(job_id, store, storage)
    return f"/v1/jobs/{job_id}"


@both_storages
def test_the_zip_holds_what_the_links_lead_to(client: httpx.Client, job: str) -> None:
    links = client.get(job).json()["links"]
    assert links["stems"] == f"{job}/stems.zip"
    response = client.get(links["stems"])
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/zip")
    assert response.headers["Content-Disposition"] == 'attachment; filename="stems.zip"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(artifact_names("wav"))
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {member.external_attr >> 16 for member in archive.infolist()} == {0o100644}
        for name, link in (("left.wav", "left"), ("right.wav", "right"), ("result.json", "result")):
            assert archive.read(name) == client.get(links[link]).content


@both_storages
@pytest.mark.parametrize("path", PATHS)
def test_every_download_says_what_it_is(client: httpx.Client, job: str, path: str) -> None:
    whole = client.get(f"{job}/{path}")
    digest = hashlib.sha256(whole.content)
    assert whole.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert whole.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert whole.headers["Content-Length"] == str(len(whole.content))
    head = client.head(f"{job}/{path}")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("ETag", "Repr-Digest", "Content-Length", "Content-Type", "Content-Disposition"):
        assert head.headers[name] == whole.headers[name]


@both_storages
@pytest.mark.parametrize("path", PATHS)
def test_a_part_of_a_download(client: httpx.Client, job: str, path: str) -> None:
    whole = client.get(f"{job}/{path}")
    size = len(whole.content)
    for wanted, start, stop in (("0-0", 0, 1), ("3-7", 3, 8), (f"{size - 2}-", size - 2, size), ("-5", size - 5, size)):
        part = client.get(f"{job}/{path}", headers={"Range": f"bytes={wanted}", "If-Range": whole.headers["ETag"]})
        assert (part.status_code, part.content) == (206, whole.content[start:stop])
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.headers["Repr-Digest"] == whole.headers["Repr-Digest"]
    outside = client.get(f"{job}/{path}", headers={"Range": f"bytes={size}-"})
    problem(outside, 416, "range_not_satisfiable")
    assert outside.headers["Content-Range"] == f"bytes */{size}"


@both_storages
@pytest.mark.parametrize("wanted", ["bytes=0-1,3-4", "bytes=x-y", "bytes=-", "bytes=7-3", "lines=1-2", "bytes"])
def test_a_range_that_is_none_of_ours_gets_the_whole(client: httpx.Client, job: str, wanted: str) -> None:
    response = client.get(f"{job}/stems/left.wav", headers={"Range": wanted})
    assert (response.status_code, response.content) == (200, b"left.wav" * 100)


@both_storages
@pytest.mark.parametrize("tag", ['"other"', 'W/"other"', "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_part_of_another_version_is_the_whole(client: httpx.Client, job: str, tag: str) -> None:
    response = client.get(f"{job}/stems.zip", headers={"Range": "bytes=5-", "If-Range": tag})
    assert response.status_code == 200


@both_storages
@pytest.mark.parametrize("path", PATHS)
def test_what_the_client_has_is_not_sent_again(client: httpx.Client, job: str, path: str) -> None:
    tag = client.get(f"{job}/{path}").headers["ETag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        response = client.get(f"{job}/{path}", headers={"If-None-Match": known})
        assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", tag)
    assert client.get(f"{job}/{path}", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.fixture
def drawn(client: httpx.Client, store: JobStore, storage: Storage) -> str:
    """The path of a job that has succeeded, with two pictures."""
    job_id = post(client)["id"]
    finish(job_id, store, storage, pictures=["frame.png", "mix.png"])
    return f"/v1/jobs/{job_id}"


@both_storages
def test_a_picture(client: httpx.Client, drawn: str) -> None:
    picture = client.get(f"{drawn}/pictures/mix.png")
    assert (picture.status_code, picture.content) == (200, b"mix.png" * 100)
    assert picture.headers["Content-Type"] == "image/png"
    assert picture.headers["Content-Disposition"] == 'inline; filename="mix.png"'
    tag = picture.headers["ETag"]
    assert tag == f'"{hashlib.sha256(picture.content).hexdigest()}"'
    again = client.get(f"{drawn}/pictures/mix.png", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    part = client.get(f"{drawn}/pictures/mix.png", headers={"Range": "bytes=3-6"})
    assert (part.status_code, part.content) == (206, picture.content[3:7])
    head = client.head(f"{drawn}/pictures/mix.png")
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", tag)


@both_storages
def test_pictures_are_not_in_the_zip(client: httpx.Client, drawn: str) -> None:
    response = client.get(f"{drawn}/stems.zip")
    assert response.headers["ETag"] == f'"{hashlib.sha256(response.content).hexdigest()}"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == list(artifact_names("wav"))


@both_storages
def test_pictures_go_with_the_job(client: httpx.Client, drawn: str, stored: Stored) -> None:
    assert sum("mix.png" in name for name in stored()) == 1
    assert client.delete(drawn).status_code == 204
    assert stored() == []
    problem(client.get(f"{drawn}/pictures/mix.png"), 404, "job_not_found")


@pytest.mark.parametrize("name", ["right.png", "left.wav", "result.json", ".manifest.json", "x" * 500, "..%2Fmix.png"])
def test_what_is_no_picture_of_the_job(client: httpx.Client, drawn: str, name: str) -> None:
    response = client.get(f"{drawn}/pictures/{name}")
    body = response.json()
    assert (response.status_code, body["code"]) in ((404, "files_gone"), (404, "not_found"))
    assert len(body["detail"]) < 700
    if name == "right.png":
        assert "no picture 'right.png'; it has frame.png, mix.png" in body["detail"]


def test_a_picture_of_a_job_without_any_or_not_yet_done(client: httpx.Client, job: str) -> None:
    problem(client.get(f"{job}/pictures/mix.png"), 404, "files_gone")
    waiting = post(client)["id"]
    problem(client.get(f"/v1/jobs/{waiting}/pictures/mix.png"), 409, "stem_not_ready")


def test_a_zip_before_there_is_one(client: httpx.Client) -> None:
    job_id = post(client)["id"]
    problem(client.get(f"/v1/jobs/{job_id}/stems.zip"), 409, "stem_not_ready")


@both_storages
def test_a_download_of_a_job_that_goes_meanwhile(client: httpx.Client, job: str, stored: Stored) -> None:
    client.get(f"{job}/stems.zip")
    client.delete(job)
    assert stored() == []
    problem(client.get(f"{job}/stems.zip"), 404, "job_not_found")


@both_storages
def test_files_that_are_gone_under_a_job(client: httpx.Client, job: str, storage: Storage) -> None:
    storage.delete(job.rpartition("/")[2])
    for path in PATHS:
        problem(client.get(f"{job}/{path}"), 404, "files_gone")


@pytest.mark.parametrize("wanted", [(0, 1), (25, 60), (0, 10_000)])
def test_any_part_of_segments(tmp_path: Path, wanted: tuple[int, int]) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(30)))
    segments: list[Segment] = [b"a" * 10, LocalFile(path, Digest(30, "0" * 64, 0)), b"", b"b" * 20]
    whole = b"a" * 10 + bytes(range(30)) + b"b" * 20
    assert length_of(segments) == len(whole)
    assert b"".join(read_segments(segments, *wanted)) == whole[slice(*wanted)]


def test_a_file_that_has_shrunk_is_no_file_of_less(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with pytest.raises(EOFError):
        list(read_segments([LocalFile(path, Digest(30, "0" * 64, 0))], 0, 30))


def test_stems_of_more_than_four_gib(tmp_path: Path) -> None:
    """Sparse files: nothing of them is written. zipfile reads what was laid out, through a file that is not there."""
    members = []
    sizes = {"left.wav": (4 << 30) + 10, "right.wav": 7, "result.json": 3}
    for name, size in sizes.items():
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(size)
        # The CRC of a file of gigabytes is not looked at here.
        members.append(LocalFile(path, Digest(size, "0" * 64, zlib.crc32(bytes(size)) if size < 100 else 0)))
    segments = stored_zip(members)
    whole = tmp_path / "stems.zip"
    with whole.open("wb") as file:
        for segment in segments:
            if isinstance(segment, bytes):
                file.write(segment)
            else:
                file.seek(segment.digest.size, io.SEEK_CUR)
    assert whole.stat().st_size == length_of(segments)
    with zipfile.ZipFile(whole) as archive:
        assert {member.filename: member.file_size for member in archive.infolist()} == sizes
        assert archive.read("right.wav") == bytes(7)
        assert archive.read("result.json") == bytes(3)
        with archive.open("left.wav") as left:
            assert left.read(10) == bytes(10)


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [("bytes=0-", 10, (0, 10)), ("bytes=-20", 10, (0, 10)), ("bytes=2-900", 10, (2, 10)), ("Bytes = 1-1", 10, (1, 2))],
)
def test_ranges(text: str, size: int, expected: tuple[int, int]) -> None:
    assert parse_range(text, size) == expected


@pytest.mark.parametrize(("text", "size"), [("bytes=10-", 10), ("bytes=0-", 0), ("bytes=-0", 10)])
def test_ranges_behind_the_end(text: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(text, size)
