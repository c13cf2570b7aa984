"""The files of a job used once more: `again`, and the video given back."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis

from app.errors import FilesGone
from app.jobs.store import JobStore
from app.keys import make_entry, make_key
from app.main import create_app
from app.settings import Settings
from app.storage.blocks import BLOCK_BYTES
from app.storage.protocol import Storage
from tests.conftest import ServedApp
from tests.storages import Stored, both_storages, read_upload
from tests.unit.test_app_api import MP4, PNG, VIDEO, WAV, finish, post
from tests.unit.test_app_bad_input import UNKNOWN_ID, problem

# Two blocks of an object storage and a bit, so that a copy has an order.
LONG = MP4 + bytes(range(256)) * (2 * BLOCK_BYTES >> 8)
WEBM = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm" + bytes(
    90
)
MATROSKA = WEBM.replace(b"\x84webm", b"\x88matroska")


def again(client: httpx.Client, job_id: str, **data: str) -> httpx.Response:
    # A form of text alone is multipart only if httpx is made to think of files.
    return client.post("/v1/jobs", files={name: (None, value) for name, value in {"again": job_id, **data}.items()})


@both_storages
def test_the_upload_is_used_once_more(client: httpx.Client, store: JobStore, storage: Storage) -> None:
    first = post(client, {"video": ("duet.mp4", LONG)}, left="violin", format="flac")
    finish(first["id"], store, storage)
    answer = again(client, first["id"], left="cello", right="flute")
    assert answer.status_code == 202, answer.text
    second = answer.json()
    assert second["id"] != first["id"]
    assert (second["state"], second["input"]) == ("queued", first["input"])
    # What the form does not say is as in any other.
    assert (second["options"]["left"], second["options"]["right"]) == ("cello", "flute")
    assert second["options"]["format"] == "wav"
    assert client.delete(f"/v1/jobs/{first['id']}").status_code == 204
    assert read_upload(storage, second["id"], "video.mp4") == LONG
    assert client.get(second["links"]["video"]).content == LONG


@both_storages
def test_all_files_of_an_upload_come_along(client: httpx.Client, store: JobStore, storage: Storage) -> None:
    files = [("frames", (f"{n}.png", PNG + bytes([n]))) for n in (1, 2)] + [("audio", ("duo.wav", WAV))]
    first = post(client, files)
    second = again(client, first["id"]).json()
    assert store.get(second["id"]).input == store.get(first["id"]).input
    assert read_upload(storage, second["id"], "frame-000002.png") == PNG + bytes([2])
    assert read_upload(storage, second["id"], "audio.wav") == WAV
    assert second["links"]["video"] is None
    problem(client.get(f"/v1/jobs/{second['id']}/video"), 404, "files_gone")


@both_storages
def test_what_is_gone_cannot_be_used(
    client: httpx.Client, store: JobStore, storage: Storage, stored: Stored, redis_client: redis.Redis
) -> None:
    problem(again(client, UNKNOWN_ID), 404, "job_not_found")
    deleted, expired, lost = (post(client)["id"] for _ in range(3))
    client.delete(f"/v1/jobs/{deleted}")
    finish(expired, store, storage)
    store.expire(expired)
    storage.delete(expired)
    storage.delete(lost)
    problem(again(client, deleted), 404, "job_not_found")
    assert "send them again" in problem(again(client, expired), 410, "job_expired")["detail"]
    problem(again(client, lost), 404, "files_gone")
    problem(client.get(f"/v1/jobs/{expired}/video"), 410, "job_expired")
    problem(client.get(f"/v1/jobs/{lost}/video"), 404, "files_gone")
    assert client.get(f"/v1/jobs/{expired}").json()["links"]["video"] is None
    assert stored() == []
    assert len(client.get("/v1/jobs").json()["jobs"]) == 2


def test_what_goes_together(client: httpx.Client, settings: Settings) -> None:
    first = post(client)["id"]
    problem(client.post("/v1/jobs", files=VIDEO, data={"again": first}), 422, "conflicting_input")
    sound = post(client, {"audio": ("duo.wav", WAV)}, left="violin", right="flute")["id"]
    problem(again(client, sound, left="cello"), 422, "missing_input")
    assert again(client, sound, left="cello", right="flute").status_code == 202
    assert len(list((settings.data_dir / "jobs").iterdir())) == 3


def test_sent_twice_it_is_one_job(client: httpx.Client, settings: Settings) -> None:
    first = post(client)["id"]
    key = {"Idempotency-Key": "again-1"}

    def send(left: str) -> httpx.Response:
        return client.post("/v1/jobs", files={"again": (None, first), "left": (None, left)}, headers=key)

    answers = [send("cello"), send("cello")]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    problem(send("flute"), 422, "idempotency_key_reused")
    assert len(list((settings.data_dir / "jobs").iterdir())) == 2


@contextmanager
def two_people(settings: Settings) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    keys = make_key(), make_key()
    entries = ",".join(make_entry(name, key) for name, key in zip(("alice", "bob"), keys, strict=True))
    app = create_app(settings.model_copy(update={"api_keys": entries}))
    headers = [{"Authorization": f"Bearer {key}"} for key in keys]
    with (
        ServedApp(app) as url,
        httpx.Client(base_url=url, headers=headers[0]) as alice,
        httpx.Client(base_url=url, headers=headers[1]) as bob,
    ):
        yield alice, bob


@pytest.mark.usefixtures("redis_client")
def test_another_persons_job_is_not_there(settings: Settings) -> None:
    with two_people(settings) as (alice, bob):
        job = post(alice)
        problem(again(bob, job["id"]), 404, "job_not_found")
        problem(bob.get(job["links"]["video"]), 404, "job_not_found")
        assert again(alice, job["id"]).status_code == 202
        assert alice.get(job["links"]["video"]).content == MP4
        alice.headers.pop("Authorization")
        problem(alice.get(job["links"]["video"]), 401, "unauthorized")


@both_storages
def test_players_can_seek_in_the_video(client: httpx.Client) -> None:
    url = post(client, {"video": ("duet.mp4", LONG)})["links"]["video"]
    whole = client.get(url)
    assert (whole.status_code, whole.headers["Content-Length"]) == (200, str(len(LONG)))
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = client.get(url, headers={"Range": f"bytes={BLOCK_BYTES - 5}-{BLOCK_BYTES + 4}"})
    assert (part.status_code, part.content) == (206, LONG[BLOCK_BYTES - 5 : BLOCK_BYTES + 5])
    assert part.headers["Content-Range"] == f"bytes {BLOCK_BYTES - 5}-{BLOCK_BYTES + 4}/{len(LONG)}"
    assert client.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"another"'}).status_code == 200
    problem(client.get(url, headers={"Range": f"bytes={len(LONG)}-"}), 416, "range_not_satisfiable")
    head = client.head(url)
    assert (head.headers["Content-Length"], head.content) == (str(len(LONG)), b"")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (MP4, "video/mp4"),
        (WEBM, "video/webm"),
        (MATROSKA, "video/x-matroska"),
        (b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(100), "video/x-msvideo"),
        # A page behind the first bytes of a video, under a page's name.
        (MP4 + b"<html><script>alert(1)</script>", "video/mp4"),
    ],
)
def test_the_video_is_sent_as_a_video_whatever_it_holds(client: httpx.Client, content: bytes, kind: str) -> None:
    answer = client.get(post(client, {"video": ("page.html", content)})["links"]["video"])
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.content == content


def test_without_hard_links_bytes_are_copied(
    client: httpx.Client, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a file system such as exFAT answers to a hard link."""

    def refuse(_path: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    job_id = uuid.uuid4().hex
    storage.copy_upload(post(client)["id"], job_id, ["video.mp4"])
    assert read_upload(storage, job_id, "video.mp4") == MP4
    with pytest.raises(FilesGone):
        storage.copy_upload(UNKNOWN_ID, job_id, ["other.mp4"])
