"""Everything that HTTP can refuse: each with its status, its code, what to do, and nothing left behind."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from app.instruments import INSTRUMENT_NAMES
from app.jobs.record import JobError
from app.jobs.store import JobStore
from app.lingering import LINGER_BYTES
from app.main import create_app
from app.problems import problem_kinds
from app.settings import Settings
from app.storage.protocol import Storage
from tests.conftest import ServedApp, leftovers
from tests.unit.test_app_api import MP4, PNG, VIDEO, WAV, finish, post

UNKNOWN_ID = "0" * 32


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The response's problem, which must be whole and hold nothing internal."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "instance", "code"} <= set(body)
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"/v1/problems#{code}"
    assert body["instance"] == response.request.url.path
    assert (code, status) in {(kind.code, kind.status) for kind in problem_kinds()}
    assert len(body["detail"]) > 20
    for leak in ("Traceback", "/tmp", ".py", "127.0.0.1", "redis://"):  # noqa: S108 - looked for, not used
        assert leak not in response.text
    return body


@pytest.fixture
def nothing_left(settings: Settings, redis_client: redis.Redis) -> Iterator[None]:
    """After the test there is no file, no job folder, no record and no message."""
    yield
    assert_nothing_left(settings.data_dir, redis_client)


def assert_nothing_left(data_dir: Path, redis_client: redis.Redis) -> None:
    left = [path for path in data_dir.rglob("*") if path.parent != data_dir]
    assert left == []
    assert leftovers(redis_client) == []


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


ZIP = zip_of({"1.png": PNG, "2.png": PNG})
SOUND = ("audio", ("duo.wav", WAV))
TEXT = b"ffconcat version 1.0\nfile other.mp4\n" * 10

POSTS: dict[str, tuple[Any, dict[str, str], int, str, str]] = {
    "empty file": ({"video": ("duet.mp4", b"")}, {}, 422, "empty_file", "empty"),
    "text named .mp4": ({"video": ("duet.mp4", TEXT)}, {}, 415, "unsupported_media", "mp4, mov, webm, mkv or avi"),
    "a few bytes": ({"video": ("duet.mp4", b"abc")}, {}, 415, "unsupported_media", "mp4"),
    "sound as video": ({"video": ("duet.mp4", WAV)}, {}, 415, "unsupported_media", "`audio`"),
    "video as frames": ([("frames", ("1.png", MP4)), SOUND], {}, 415, "unsupported_media", "`video`"),
    "text as audio": ({"audio": ("a.wav", TEXT)}, {}, 415, "unsupported_media", "wav, flac, mp3, ogg"),
    "unknown instrument": (VIDEO, {"left": "piano"}, 422, "unknown_instrument", "'piano'"),
    "unknown separator": (VIDEO, {"separator": "magic"}, 422, "unknown_option", "is one of auto, "),
    "unknown tagger": (VIDEO, {"tagger": "magic"}, 422, "unknown_option", "densenet161"),
    "unknown label rule": (VIDEO, {"labels": "magic"}, 422, "unknown_option", "is one of auto, fused, report"),
    "unknown format": (VIDEO, {"format": "ogg"}, 422, "unknown_option", "wav, flac, mp3"),
    "bits of mp3": (VIDEO, {"format": "mp3", "bits": "16"}, 422, "unknown_option", "leave `bits` out"),
    "bits that flac has not": (VIDEO, {"format": "flac", "bits": "32"}, 422, "unknown_option", "one of 16, 24"),
    "bits that are none": (VIDEO, {"bits": "sixteen"}, 422, "unknown_option", "16, 24, 32, where 32 are floats"),
    "unknown field": (VIDEO, {"lefft": "violin"}, 422, "unknown_field", "left, right"),
    "endless option": (VIDEO, {"left": "v" * 100_000}, 422, "unknown_field", "too long"),
    "video and audio": ([("video", ("d.mp4", MP4)), SOUND], {}, 422, "conflicting_input", "`video` alone"),
    "video and frames": (
        [("video", ("d.mp4", MP4)), ("frames", ("1.png", PNG))],
        {},
        422,
        "conflicting_input",
        "`video` alone",
    ),
    "two videos": ([("video", ("d.mp4", MP4)), ("video", ("e.mp4", MP4))], {}, 422, "conflicting_input", "one"),
    "two recordings": ([SOUND, SOUND], {"left": "cello", "right": "flute"}, 422, "conflicting_input", "one"),
    "two zips": ([("frames", ("1.zip", ZIP)), ("frames", ("2.zip", ZIP)), SOUND], {}, 422, "conflicting_input", "zip"),
    "zip and picture": (
        [("frames", ("1.png", PNG)), ("frames", ("2.zip", ZIP)), SOUND],
        {},
        422,
        "conflicting_input",
        "zip",
    ),
    "frames without audio": ([("frames", ("1.png", PNG))], {}, 422, "missing_input", "`audio`"),
    "audio without names": ([SOUND], {}, 422, "missing_input", "`left` and `right`"),
    "audio with one name": ([SOUND], {"left": "cello"}, 422, "missing_input", "`left` and `right`"),
    "corrupt zip": ([("frames", ("f.zip", ZIP[:-30])), SOUND], {}, 422, "corrupt_zip", "damaged"),
    "zip without files": ([("frames", ("f.zip", zip_of({}))), SOUND], {}, 422, "corrupt_zip", "no file"),
    "too many pictures": (
        [("frames", (f"{n}.png", PNG)) for n in range(6)] + [SOUND],
        {},
        422,
        "too_many_images",
        "at most 5",
    ),
    "too many in the zip": (
        [("frames", ("f.zip", zip_of({f"{n}.png": PNG for n in range(6)}))), SOUND],
        {},
        422,
        "too_many_images",
        "at most 5",
    ),
    "nothing chosen in a browser": ({"video": ("", b"")}, {}, 422, "missing_input", "`video`"),
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_images": 5, "max_upload_bytes": 3_000_000})


@pytest.mark.usefixtures("nothing_left")
class TestPost:
    @pytest.mark.parametrize("name", POSTS)
    def test_what_cannot_be_used(self, client: httpx.Client, name: str) -> None:
        files, data, status, code, hint = POSTS[name]
        body = problem(client.post("/v1/jobs", files=files, data=data), status, code)
        assert hint in body["detail"]

    def test_an_unknown_instrument_names_the_eight(self, client: httpx.Client) -> None:
        response = client.post("/v1/jobs", files=VIDEO, data={"right": "piano"})
        detail = problem(response, 422, "unknown_instrument")["detail"]
        assert [name for name in INSTRUMENT_NAMES if name not in detail] == []

    def test_no_file(self, client: httpx.Client) -> None:
        body = b'--b\r\nContent-Disposition: form-data; name="left"\r\n\r\nviolin\r\n--b--\r\n'
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        detail = problem(client.post("/v1/jobs", content=body, headers=headers), 422, "missing_input")["detail"]
        assert "`video`" in detail

    def test_a_path_instead_of_a_file(self, client: httpx.Client) -> None:
        body = b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\nduet.mp4\r\n--b--\r\n'
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        detail = problem(client.post("/v1/jobs", content=body, headers=headers), 422, "not_a_file")["detail"]
        assert "-F video=@FILE" in detail

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Content-Type": "application/json"},
            {"Content-Type": "multipart/form-data"},
            {"Content-Type": "video/mp4"},
            {"Content-Type": f"multipart/form-data; boundary={'b' * 300}"},
        ],
    )
    def test_no_form(self, client: httpx.Client, headers: dict[str, str]) -> None:
        problem(client.post("/v1/jobs", content=MP4, headers=headers), 400, "malformed_body")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"no multipart at all",
            b'--b\r\nContent-Disposition: form-data; name="video"; filename="d.mp4"\r\n\r\n' + MP4,
            b'--b\r\nContent-Disposition: form-data; name="video"; filename="d.mp4"\r\n\r\n' + MP4 + b"\r\n--b\r\n",
        ],
    )
    def test_a_broken_form(self, client: httpx.Client, body: bytes) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        problem(client.post("/v1/jobs", content=body, headers=headers), 400, "malformed_body")

    def test_a_form_of_nothing_but_empty_parts(self, client: httpx.Client) -> None:
        part = b'--b\r\nContent-Disposition: form-data; name="video"; filename=""\r\n\r\n\r\n'
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        response = client.post("/v1/jobs", content=part * 200 + b"--b--\r\n", headers=headers)
        assert "more than 105 parts" in problem(response, 400, "malformed_body")["detail"]

    def test_too_large_by_its_declared_length(self, client: httpx.Client) -> None:
        response = client.post("/v1/jobs", files={"video": ("d.mp4", MP4 + bytes(3_000_000))})
        assert "3000000 bytes" in problem(response, 413, "body_too_large")["detail"]

    def test_too_large_in_chunks(self, client: httpx.Client, settings: Settings) -> None:
        def chunks() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="d.mp4"\r\n\r\n' + MP4
            yield bytes(2_000_000)
            # So that the refusal comes while the file is being written.
            while not any(settings.data_dir.rglob(".video.mp4.*")):
                assert client.get("/livez").status_code == 200
            yield bytes(2_000_000)
            yield b"\r\n--b--\r\n"

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        response = client.post("/v1/jobs", content=chunks(), headers=headers)
        assert response.request.headers["Transfer-Encoding"] == "chunked"
        problem(response, 413, "body_too_large")

    def test_a_client_that_goes_away(self, client: httpx.Client, settings: Settings) -> None:
        class GoneError(Exception):
            pass

        def chunks() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="d.mp4"\r\n\r\n' + MP4
            while not any(settings.data_dir.rglob(".video.mp4.*")):
                yield bytes(100_000)
            raise GoneError

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        with pytest.raises(GoneError):
            client.post("/v1/jobs", content=chunks(), headers=headers)
        while any((settings.data_dir / "jobs").iterdir()):
            assert client.get("/livez").status_code == 200


def test_a_body_without_end_is_answered_and_hung_up_on(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings.model_copy(update={"max_upload_bytes": 1_000_000}))
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="d.mp4"\r\n\r\n' + MP4
        while sent < 20 * LINGER_BYTES:
            sent += 1 << 20
            yield bytes(1 << 20)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        problem(client.post("/v1/jobs", content=endless(), headers=headers), 413, "body_too_large")
        assert sent < 2 * LINGER_BYTES
        assert client.get("/livez").status_code == 200
    assert not list(settings.data_dir.rglob("*.mp4*"))


def test_a_full_queue_answers_before_the_body(settings: Settings, redis_client: redis.Redis, store: JobStore) -> None:
    app = create_app(settings.model_copy(update={"max_queued": 1}))
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        job_id = post(client)["id"]
        # The head of a request whose body never comes: only a server that does not wait for it answers.
        host = client.base_url.netloc.decode()
        with httpx.Client(base_url=url, timeout=20) as other, _raw(client.base_url) as raw:
            raw.sendall(
                f"POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
            )
            answer = raw.recv(65536).decode()
            assert answer.startswith("HTTP/1.1 503 ")
            assert "retry-after: 30" in answer.lower()
            body = problem(other.post("/v1/jobs", files=VIDEO), 503, "queue_full")
            assert "1 jobs wait" in body["detail"]
        store.start(job_id)
        post(client)


def _raw(url: httpx.URL) -> Any:
    import socket  # noqa: PLC0415 - for this one test

    return socket.create_connection((url.host, url.port), timeout=20)


@pytest.mark.parametrize("job_id", [UNKNOWN_ID, "x", "..%2f..%2fetc%2fpasswd", "A" * 32, "%00"])
def test_an_unknown_job(client: httpx.Client, job_id: str) -> None:
    for method, tail in (
        ("GET", ""),
        ("GET", "?wait=5"),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("GET", "/stems/left.wav"),
        ("GET", "/stems/right.wav"),
        ("GET", "/result"),
    ):
        response = client.request(method, f"/v1/jobs/{job_id}{tail}")
        assert response.status_code == 404
        assert response.json()["code"] in {"job_not_found", "not_found"}
    problem(client.get(f"/v1/jobs/{UNKNOWN_ID}"), 404, "job_not_found")


def test_stems_before_they_are_ready(client: httpx.Client, store: JobStore) -> None:
    job = post(client)
    for state in ("queued", "running"):
        for tail in ("stems/left.wav", "stems/right.wav", "result"):
            response = client.get(f"/v1/jobs/{job['id']}/{tail}")
            detail = problem(response, 409, "stem_not_ready")["detail"]
            assert state in detail
            assert f"GET /v1/jobs/{job['id']}?wait=60" in detail
            assert int(response.headers["Retry-After"]) > 0
        if state == "queued":
            store.start(job["id"])


def test_stems_of_a_job_that_failed(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)["id"]
    store.start(job_id)
    store.fail(job_id, JobError(code="no_audio", message="the video has no sound; send one with sound"))
    body = problem(client.get(f"/v1/jobs/{job_id}/stems/left.wav"), 409, "job_failed")
    assert "the video has no sound" in body["detail"]
    assert body["errors"] == [{"code": "no_audio", "message": "the video has no sound; send one with sound"}]


def test_stems_of_a_job_that_was_canceled(client: httpx.Client) -> None:
    job_id = post(client)["id"]
    client.post(f"/v1/jobs/{job_id}/cancel")
    problem(client.get(f"/v1/jobs/{job_id}/stems/left.wav"), 409, "job_canceled")


def test_stems_of_a_job_that_expired(client: httpx.Client, store: JobStore, storage: Storage) -> None:
    job_id = post(client)["id"]
    finish(job_id, store, storage)
    store.expire(job_id)
    problem(client.get(f"/v1/jobs/{job_id}/stems/left.wav"), 410, "job_expired")


def test_canceling_what_has_ended(client: httpx.Client, store: JobStore, storage: Storage) -> None:
    job_id = post(client)["id"]
    finish(job_id, store, storage)
    assert "succeeded" in problem(client.post(f"/v1/jobs/{job_id}/cancel"), 409, "illegal_transition")["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "query.limit"), ("limit=101", "query.limit"), ("limit=x", "query.limit"), ("state=x", "query.state")],
)
def test_bad_queries(client: httpx.Client, query: str, field: str) -> None:
    body = problem(client.get(f"/v1/jobs?{query}"), 422, "invalid_request")
    assert [entry["field"] for entry in body["errors"]] == [field]


@pytest.mark.parametrize("wait", ["-1", "x", "nan", "inf"])
def test_bad_waits(client: httpx.Client, wait: str) -> None:
    problem(client.get(f"/v1/jobs/{UNKNOWN_ID}?wait={wait}"), 422, "invalid_request")


def test_a_bad_cursor(client: httpx.Client) -> None:
    problem(client.get("/v1/jobs?cursor=x"), 422, "invalid_cursor")


def test_no_such_route_or_method(client: httpx.Client) -> None:
    problem(client.get("/v1/nothing"), 404, "not_found")
    response = client.put("/v1/jobs")
    problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, POST"
    assert client.patch(f"/v1/jobs/{UNKNOWN_ID}").headers["Allow"] == "DELETE, GET"
    assert client.post(f"/v1/jobs/{UNKNOWN_ID}/result").headers["Allow"] == "GET, HEAD"


def test_a_dead_broker(settings: Settings) -> None:
    dead = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with ServedApp(create_app(dead)) as url, httpx.Client(base_url=url, timeout=30) as client:
        for response in (
            client.post("/v1/jobs", files=VIDEO),
            client.get("/v1/jobs"),
            client.get(f"/v1/jobs/{UNKNOWN_ID}"),
            client.delete(f"/v1/jobs/{UNKNOWN_ID}"),
            client.get("/readyz"),
        ):
            problem(response, 503, "broker_unavailable")
            assert int(response.headers["Retry-After"]) > 0
        assert client.get("/livez").status_code == 200
        assert client.get("/v1/instruments").status_code == 200
    assert [path for path in settings.data_dir.rglob("*") if path.is_file()] == []


def test_a_broker_that_dies_before_the_message_is_sent(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings)
    app.state.queue = type(app.state.queue)(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        problem(client.post("/v1/jobs", files=VIDEO), 503, "broker_unavailable")
    assert_nothing_left(settings.data_dir, redis_client)


def test_a_storage_that_cannot_be_used(settings: Settings, redis_client: redis.Redis) -> None:
    # A file where the folder belongs fails for root too, unlike missing permissions.
    settings.data_dir.parent.mkdir(exist_ok=True, parents=True)
    settings.data_dir.write_text("in the way")
    with ServedApp(create_app(settings)) as url, httpx.Client(base_url=url, timeout=20) as client:
        problem(client.get("/readyz"), 503, "storage_unavailable")
        problem(client.post("/v1/jobs", files=VIDEO), 503, "storage_unavailable")
    assert leftovers(redis_client) == []


def test_what_nobody_foresaw_tells_nothing(settings: Settings, redis_client: redis.Redis) -> None:
    # A record that no code of ours writes.
    redis_client.hset(f"duetto:job:{UNKNOWN_ID}", mapping={"id": UNKNOWN_ID, "state": "/srv/secret.py"})
    with ServedApp(create_app(settings)) as url, httpx.Client(base_url=url, timeout=20) as client:
        body = problem(client.get(f"/v1/jobs/{UNKNOWN_ID}"), 500, "internal_error")
        assert "secret" not in str(body)
