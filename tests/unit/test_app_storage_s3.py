"""What only an object storage can do wrong: refuse, be away, lose a block; and what is left by who was killed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import redis
from pydantic import SecretStr

from app.errors import ConfigurationError, FilesGone, StorageUnavailable
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.main import create_app
from app.settings import Settings
from app.storage import open_storage
from app.storage.apart import UpkeepApart
from app.storage.blocks import BLOCK_BYTES
from app.storage.bucket import Bucket, parse_address
from app.storage.protocol import Storage, StoredJob
from tests.conftest import ServedApp
from tests.s3_server import S3Server
from tests.storages import Stored, read_artifact
from tests.unit.test_app_api import MP4, VIDEO
from tests.unit.test_app_bad_input import problem
from tests.unit.test_app_store import new_job
from worker.expiry import sweep
from worker.jobs import _write_outcome

pytestmark = pytest.mark.parametrize("settings", ["s3"], indirect=True)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def job_id(storage: Storage) -> str:
    """A job that is published."""
    job_id = uuid.uuid4().hex
    with storage.upload(job_id, "video.mp4") as part:
        part.write(bytes(2 * BLOCK_BYTES + 1))
    with storage.scratch(job_id) as scratch:
        (scratch / "left.wav").write_bytes(bytes(BLOCK_BYTES + 1))
        assert storage.publish(job_id, scratch)
    return job_id


def changed(settings: Settings, **values: str) -> Settings:
    return settings.model_copy(update=values)


@pytest.fixture(scope="module")
def closed_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class TestTrouble:
    @pytest.fixture(params=["no server", "no bucket", "no key"])
    def trouble(
        self, request: pytest.FixtureRequest, settings: Settings, closed_port: int
    ) -> Iterator[tuple[Settings, str]]:
        """Settings that cannot work, and what is said of them."""
        if request.param == "no server":
            yield changed(settings, s3_endpoint=f"http://127.0.0.1:{closed_port}"), "cannot be reached"
        elif request.param == "no bucket":
            yield changed(settings, storage="s3://duetto-of-nobody"), "no such bucket"
        else:
            with S3Server() as server:
                right = server.settings(server.make_bucket(), settings.data_dir, redis_url=settings.redis_url)
                server.ask_for_keys()
                open_storage(right).check_writable()
                wrong = SecretStr("no" + server.secret[2:])
                yield right.model_copy(update={"s3_secret_access_key": wrong}), "refuses the server's key"

    def test_it_is_told_without_secrets(
        self, trouble: tuple[Settings, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings, expected = trouble
        storage, job_id = open_storage(settings), uuid.uuid4().hex
        secret = settings.s3_secret_access_key
        assert secret is not None
        (tmp_path / "left.wav").touch()
        for call in (
            storage.check_writable,
            storage.upload(job_id, "video.mp4").commit,
            lambda: storage.open_upload(job_id, "video.mp4"),
            lambda: storage.published(job_id),
            lambda: storage.is_published(job_id),
            lambda: storage.publish(job_id, tmp_path),
            lambda: storage.delete(job_id),
            lambda: list(storage.jobs()),
            lambda: storage.last_written(job_id),
        ):
            with pytest.raises(StorageUnavailable, match=expected) as caught:
                call()
            assert caught.value.retry_after_s
            said = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(settings)
            for hidden in (secret.get_secret_value(), str(settings.s3_access_key_id), "prefix/jobs"):
                assert hidden not in said.replace(repr(settings), "")
            assert secret.get_secret_value() not in said
            assert "127.0.0.1" not in caught.value.detail

    def test_the_api_says_503_and_keeps_nothing(self, trouble: tuple[Settings, str], redis_client: redis.Redis) -> None:
        settings, expected = trouble
        with ServedApp(create_app(settings)) as url, httpx.Client(base_url=url, timeout=60) as client:
            body = problem(client.post("/v1/jobs", files=VIDEO), 503, "storage_unavailable")
            assert expected in body["detail"]
            ready = client.get("/readyz")
            assert expected in problem(ready, 503, "storage_unavailable")["detail"]
            assert int(ready.headers["Retry-After"]) > 0
            assert client.get("/v1/jobs").json()["jobs"] == []
        assert redis_client.keys("duetto:job*") == []


@pytest.mark.parametrize(
    "address",
    [
        "bucket",
        "s3://",
        "s3:///prefix",
        "https://bucket/prefix",
        "s3://id:secret@bucket",
        "s3://bucket?x=1",
        "S3 bucket",
    ],
)
def test_an_address_that_is_none(settings: Settings, address: str) -> None:
    with pytest.raises(ConfigurationError, match="s3://BUCKET") as caught:
        open_storage(changed(settings, storage=address))
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize(
    ("address", "expected"),
    [("s3://b-1", ("b-1", "")), ("s3://b.c/", ("b.c", "")), ("s3://b/a/b c/", ("b", "a/b c"))],
)
def test_addresses(settings: Settings, address: str, expected: tuple[str, str]) -> None:
    assert parse_address(address) == expected


def test_the_usual_variables_will_do(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = settings.s3_secret_access_key
    assert secret is not None
    for name, value in {
        "AWS_ENDPOINT_URL": settings.s3_endpoint,
        "AWS_ACCESS_KEY_ID": settings.s3_access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret.get_secret_value(),
        "AWS_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, str(value))
    open_storage(Settings(storage=settings.storage, data_dir=settings.data_dir)).check_writable()


def test_prefixes_keep_apart(settings: Settings, storage: Storage, job_id: str) -> None:
    other = open_storage(changed(settings, storage=f"{settings.storage}-too"))
    assert list(other.jobs()) == []
    assert not other.is_published(job_id)


def test_an_upload_whose_client_goes_away_leaves_nothing(
    settings: Settings, redis_client: redis.Redis, stored: Stored
) -> None:
    with ServedApp(create_app(settings)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            head = b'--b\r\nContent-Disposition: form-data; name="video"; filename="duet.mp4"\r\n\r\n' + MP4
            client.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 90000000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + head + bytes(3 * BLOCK_BYTES)
            )
            deadline = time.monotonic() + 60
            while not stored():
                assert time.monotonic() < deadline, "nothing arrived"
                time.sleep(0.02)
        while stored():
            assert time.monotonic() < deadline, "what arrived stayed"
            time.sleep(0.02)
    assert redis_client.keys("duetto:job*") == []


def test_a_file_with_a_lost_block_is_no_file(settings: Settings, storage: Storage, job_id: str, stored: Stored) -> None:
    Bucket(settings).delete([f"jobs/{job_id}/upload/video.mp4/000001"])
    with pytest.raises(FilesGone):
        storage.open_upload(job_id, "video.mp4")
    Bucket(settings).delete([key for key in stored() if key.endswith("left.wav/000001")])
    with storage.published(job_id).file("left.wav").open() as read:
        assert len(b"".join(read(0, BLOCK_BYTES))) == BLOCK_BYTES
        with pytest.raises(FilesGone):
            list(read(0, BLOCK_BYTES + 1))


def test_what_a_killed_attempt_left(settings: Settings, storage: Storage, job_id: str, stored: Stored) -> None:
    whole = stored()
    left = f"jobs/{job_id}/attempts/{uuid.uuid4().hex}/left.wav/000000"
    Bucket(settings).put(left, b"half a stem")
    assert list(storage.jobs()) == [StoredJob(job_id, has_scratch=True)]
    storage.clear_scratch(job_id)
    assert stored() == whole
    assert len(read_artifact(storage, job_id, "left.wav")) == BLOCK_BYTES + 1
    # Without a manifest no attempt counts; the upload stays.
    Bucket(settings).put(left, b"half a stem")
    Bucket(settings).delete([f"jobs/{job_id}/.manifest.json"])
    storage.clear_scratch(job_id)
    assert {key.split("/")[2] for key in stored()} == {"upload"}
    Bucket(settings).put(left, b"half a stem")
    storage.delete(job_id)
    assert stored() == []


def test_more_objects_than_one_request_tells(settings: Settings, storage: Storage, stored: Stored) -> None:
    bucket, job_id = Bucket(settings), uuid.uuid4().hex
    for index in range(1001):
        bucket.put(f"jobs/{job_id}/upload/frame-{index:06d}.png/000000.last", b"")
    bucket.put(f"jobs/{job_id}/attempts/{uuid.uuid4().hex}/left.wav/000000", b"")
    assert list(storage.jobs()) == [StoredJob(job_id, has_scratch=True)]
    storage.delete(job_id)
    assert stored() == []


def test_probes_that_stayed_are_cleared(settings: Settings, storage: Storage, stored: Stored) -> None:
    Bucket(settings).put("probes/killed", b"duetto")
    storage.clear_trash(1000)
    assert stored() == ["probes/killed"]
    storage.clear_trash(-1000)
    assert stored() == []


class TestApart:
    @pytest.fixture
    def apart(self, settings: Settings) -> Iterator[UpkeepApart]:
        upkeep = UpkeepApart(settings)
        yield upkeep
        upkeep.close()

    def test_it_does_what_the_storage_does(self, apart: UpkeepApart, storage: Storage, job_id: str) -> None:
        assert list(apart.jobs()) == list(storage.jobs())
        assert apart.last_written(job_id) == storage.last_written(job_id)
        assert (apart.is_published(job_id), apart.is_published("0" * 32)) == (True, False)
        apart.clear_scratch(job_id)
        apart.clear_trash(1000)
        assert storage.is_published(job_id)
        apart.delete(job_id)
        assert list(storage.jobs()) == []
        with pytest.raises(ValueError, match="32 hexadecimal"):
            apart.delete("../x")

    def test_it_tells_of_trouble(self, settings: Settings) -> None:
        upkeep = UpkeepApart(changed(settings, storage="s3://duetto-of-nobody"))
        with closing(upkeep), pytest.raises(StorageUnavailable, match="no such bucket"):
            upkeep.is_published("0" * 32)

    def test_it_starts_again(self, apart: UpkeepApart, job_id: str) -> None:
        assert apart.is_published(job_id)
        assert apart._process is not None
        apart._process.kill()
        apart._process.wait()
        with pytest.raises(StorageUnavailable, match="has ended"):
            apart.is_published(job_id)
        assert apart.is_published(job_id)

    def test_whoever_forks_can_still_use_the_bucket_in_its_children(self, settings: Settings) -> None:
        """As a worker does: the parent looks after jobs, the child that it forks then has one."""
        program = """
import json, os, signal, sys
from app.settings import Settings
from app.storage import open_storage, open_upkeep
settings = Settings(**json.loads(sys.argv[1]))
assert list(open_upkeep(settings).jobs()) == []
child = os.fork()
if child == 0:
    signal.alarm(30)
    open_storage(settings).check_writable()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
        values = {name: getattr(settings, name) for name in ("storage", "s3_endpoint", "s3_region", "s3_access_key_id")}
        secret = settings.s3_secret_access_key
        assert secret is not None
        values |= {"data_dir": str(settings.data_dir), "s3_secret_access_key": secret.get_secret_value()}
        document = json.dumps(values)
        done = subprocess.run(
            [sys.executable, "-c", program, document], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout == "7\n"


def test_a_bucket_that_is_away_when_all_is_done_costs_no_outcome(
    settings: Settings, store: JobStore, closed_port: int
) -> None:
    """A child that writes its outcome and cannot tidy up: the outcome stands, and nothing is raised."""
    away = open_storage(changed(settings, s3_endpoint=f"http://127.0.0.1:{closed_port}"))
    done, deleted = new_job(), new_job()
    store.create(done)
    started = store.start(done.id)
    for job in (started, deleted):
        _write_outcome(job, None, store, away)
    assert store.get(done.id).state is JobState.SUCCEEDED


def test_a_download_while_the_bucket_is_away(
    settings: Settings, store: JobStore, redis_client: redis.Redis, closed_port: int
) -> None:
    away = changed(settings, s3_endpoint=f"http://127.0.0.1:{closed_port}")
    job = new_job()
    store.create(job)
    store.start(job.id)
    store.succeed(job.id)
    with ServedApp(create_app(away)) as url, httpx.Client(base_url=url, timeout=60) as client:
        for path in ("stems/left.wav", "stems.zip", "result"):
            problem(client.get(f"/v1/jobs/{job.id}/{path}"), 503, "storage_unavailable")


def test_a_job_deleted_while_the_bucket_is_away(
    settings: Settings, store: JobStore, storage: Storage, job_id: str, stored: Stored, closed_port: int
) -> None:
    away = changed(settings, s3_endpoint=f"http://127.0.0.1:{closed_port}")
    store.create(new_job().model_copy(update={"id": job_id}))
    with ServedApp(create_app(away)) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
        problem(client.get(f"/v1/jobs/{job_id}"), 404, "job_not_found")
    assert stored() != []
    sweep(store, storage, orphan_after_s=0.0)
    assert stored() == [], "its files go when the bucket is back"
