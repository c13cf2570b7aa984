"""API keys, who is answered without one, and the headers of every answer."""

from __future__ import annotations

import argparse
import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from fastapi import FastAPI

import duetto
from app.commands import key as key_command
from app.commands import serve
from app.errors import ConfigurationError
from app.exposure import check_exposure, is_loopback
from app.jobs.store import JobStore
from app.keys import make_entry, make_key, parse_keyring
from app.main import create_app
from app.settings import Settings
from app.storage.protocol import Storage
from tests.both_clients import both_clients
from tests.conftest import ServedApp
from tests.unit.test_app_api import MP4, VIDEO, finish, post
from tests.unit.test_app_bad_input import UNKNOWN_ID, problem

ALICE, BOB = make_key(), make_key()
KEYS = f"{make_entry('alice', ALICE)}, {make_entry('bob', BOB)},"
PAGE = Path(__file__).parents[2] / "app" / "page"


@contextmanager
def served(app: FastAPI, key: str | None = None) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=20, headers=headers) as client:
        yield client


@pytest.fixture
def keyed(settings: Settings, redis_client: redis.Redis) -> FastAPI:
    """An app that Alice and Bob have keys for."""
    return create_app(settings.model_copy(update={"api_keys": KEYS}))


@pytest.fixture
def alice(keyed: FastAPI) -> Iterator[httpx.Client]:
    with served(keyed, ALICE) as client:
        yield client


def bob(client: httpx.Client) -> httpx.Client:
    return httpx.Client(base_url=client.base_url, timeout=20, headers={"Authorization": f"Bearer {BOB}"})


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Every call that the OpenAPI document has, and the HEADs that it has not."""
    calls = [(method.upper(), path) for path, operations in app.openapi()["paths"].items() for method in operations]
    return calls + [
        ("HEAD", path) for method, path in calls if method == "GET" and ("/stems" in path or "/result" in path)
    ]


def test_every_call_to_jobs_needs_a_key(keyed: FastAPI, settings: Settings) -> None:
    calls = [(method, path) for method, path in routes_of(keyed) if path.startswith("/v1/jobs")]
    assert len(calls) > 10
    with served(keyed) as nobody:
        for given in ({}, {"Authorization": "Bearer duetto_wrong"}, {"Authorization": f"Basic {ALICE}"}):
            for method, path in calls:
                response = nobody.request(method, path.format(job_id=UNKNOWN_ID, name="left.wav"), headers=given)
                assert response.status_code == 401, (method, path)
                assert response.headers["WWW-Authenticate"] == 'Bearer realm="duetto"'
                if method != "HEAD":
                    assert "API key" in problem(response, 401, "unauthorized")["detail"]
        for path in ("/", "/docs", "/openapi.json", "/livez", "/readyz", "/version", "/v1/instruments", "/v1/problems"):
            assert nobody.get(path).status_code == 200
        assert nobody.post("/v1/jobs", files=VIDEO).status_code == 401
    assert [path for path in settings.data_dir.rglob("*") if path.is_file()] == []


def test_the_document_says_which_calls_need_a_key(keyed: FastAPI) -> None:
    for path, operations in keyed.openapi()["paths"].items():
        for method, operation in operations.items():
            needs_key = path.startswith("/v1/jobs") or path in ("/metrics", "/v1/methods")
            assert ("security" in operation) == needs_key, (method, path)
            assert ("401" in operation["responses"]) == needs_key, (method, path)


def test_the_document_of_a_server_without_keys_asks_for_none(settings: Settings) -> None:
    document = create_app(settings).openapi()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert [operation["summary"] for operation in operations if "security" in operation] == []
    assert "securitySchemes" not in document["components"]
    # Neither a header nor a query can be null; one that is left out is not there.
    schemas = [parameter["schema"] for operation in operations for parameter in operation.get("parameters", ())]
    assert schemas
    assert [schema for schema in schemas if {"type": "null"} in schema.get("anyOf", ())] == []


def test_a_job_is_there_for_its_owner_alone(
    alice: httpx.Client, keyed: FastAPI, store: JobStore, storage: Storage
) -> None:
    job_id = post(alice)["id"]
    finish(job_id, store, storage)
    with bob(alice) as other:
        for method, path in routes_of(keyed):
            if "{job_id}" not in path:
                continue
            response = other.request(method, path.format(job_id=job_id, name="left.wav"))
            assert response.status_code == 404, (method, path)
            if method == "GET":
                never = other.request(method, path.format(job_id=UNKNOWN_ID, name="left.wav")).json()
                assert response.json()["detail"] == never["detail"]
        assert other.get("/v1/jobs").json()["jobs"] == []
    assert alice.get(f"/v1/jobs/{job_id}/stems/left.wav").status_code == 200
    assert alice.delete(f"/v1/jobs/{job_id}").status_code == 204


def test_the_list_shows_own_jobs_page_by_page(alice: httpx.Client, store: JobStore, redis_client: redis.Redis) -> None:
    with bob(alice) as other:
        mine = []
        for _ in range(4):
            mine.append(post(alice)["id"])
            post(other)
        for job_id in mine[::2]:
            store.start(job_id)
        assert len(other.get("/v1/jobs").json()["jobs"]) == 4

    def pages(**query: str | int) -> list[list[str]]:
        found, cursor = [], None
        while True:
            page = alice.get("/v1/jobs", params=query | ({"cursor": cursor} if cursor else {})).json()
            found.append([job["id"] for job in page["jobs"]])
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    newest = mine[::-1]
    assert pages(limit=3) == [newest[:3], newest[3:]]
    assert pages(limit=4) == [newest]
    assert pages(limit=1, state="running")[:2] == [[mine[2]], [mine[0]]]
    assert pages(state="queued") == [[mine[3], mine[1]]]
    assert pages(state="failed") == [[]]
    for job_id in mine:
        alice.delete(f"/v1/jobs/{job_id}")
    assert pages() == [[]]
    assert redis_client.keys("duetto:jobs:of:alice") == []


def test_two_people_may_use_the_same_idempotency_key(alice: httpx.Client) -> None:
    name = {"Idempotency-Key": "1"}
    with bob(alice) as other:
        first = alice.post("/v1/jobs", files=VIDEO, headers=name)
        second = other.post("/v1/jobs", files=VIDEO, headers=name)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.headers["Location"] != second.headers["Location"]


def test_a_quota_is_each_key_s_own(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings.model_copy(update={"api_keys": KEYS, "max_queued_per_client": 1}))
    with served(app, ALICE) as client, bob(client) as other:
        post(client)
        problem(client.post("/v1/jobs", files=VIDEO), 429, "quota_exceeded")
        post(other)


@both_clients
def test_the_client_shows_its_key(
    make_client: Callable[..., Any], alice: httpx.Client, tmp_path: Path, store: JobStore, storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    video = tmp_path / "duet.mp4"
    video.write_bytes(MP4)
    with make_client(str(alice.base_url), api_key=ALICE) as client:
        job = client.submit(video)
        finish(job.id, store, storage)
        assert client.download(job, "left", tmp_path / "left.wav").read_bytes() == b"left.wav" * 100
    monkeypatch.setenv("DUETTO_API_KEY", ALICE)
    with make_client(str(alice.base_url)) as client:
        assert client.wait(job.id).state == "succeeded"
    monkeypatch.setenv("DUETTO_API_KEY", BOB)
    with make_client(str(alice.base_url)) as client:
        for call in (client.job, client.wait, client.fetch, client.cancel, client.delete):
            with pytest.raises(duetto.JobNotFound):
                call(job.id)
    monkeypatch.setenv("DUETTO_API_KEY", "duetto_wrong")
    with (
        make_client(str(alice.base_url)) as client,
        pytest.raises(duetto.Unauthorized, match="not one of this server's"),
    ):
        client.submit(video)
    monkeypatch.delenv("DUETTO_API_KEY")
    with make_client(str(alice.base_url)) as client, pytest.raises(duetto.Unauthorized, match="asks for an API key"):
        client.submit(video)
    for wrong in ("schlüssel", "two\nlines"):
        with pytest.raises(duetto.UnusableKey, match="DUETTO_API_KEY"):
            make_client(str(alice.base_url), api_key=wrong)


def test_a_key_is_known_by_its_hash_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert key_command.run(argparse.Namespace(name="carol")) == 0
    key, entry = capsys.readouterr().out.split()
    assert key.startswith("duetto_")
    assert entry == f"carol:{hashlib.sha256(key.encode()).hexdigest()}"
    assert parse_keyring(entry).owner_of(key) == "carol"
    assert parse_keyring(entry).owner_of(key[:-1]) is None
    assert parse_keyring(entry).owner_of("") is None


def test_no_keys_are_no_keys() -> None:
    for text in (None, "", " , "):
        assert not parse_keyring(text)


@pytest.mark.parametrize(
    "text",
    ["alice", ALICE, f"alice:{ALICE}", f"Alice:{'0' * 64}", f"{KEYS}x:y", f"a b:{'0' * 64}"],
    # The same in every process of pytest-xdist, unlike the keys.
    ids=["name", "key", "name and key", "capital", "third of three", "space"],
)
def test_an_entry_that_is_none_is_told_but_not_shown(text: str, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"entry \d.*duetto key NAME") as raised:
        create_app(settings.model_copy(update={"api_keys": text}))
    assert ALICE not in str(raised.value)


@pytest.mark.parametrize("name", ["", "Alice", "a" * 41, "a:b", "a,b", "-a"])
def test_a_name_that_a_key_cannot_have(name: str) -> None:
    with pytest.raises(ConfigurationError, match="begins with"):
        make_entry(name, ALICE)


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), (None, True),
        ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("192.0.2.1", False),  # noqa: S104
        ("fe80::1%eth0", False), ("example.org", False), ("", False),
    ],
)  # fmt: skip
def test_what_is_this_machine_alone(host: str | None, is_own: bool) -> None:
    assert is_loopback(host) is is_own


def test_serving_others_without_keys_must_be_meant(settings: Settings, tmp_path: Path) -> None:
    everyone = settings.model_copy(update={"host": "0.0.0.0"})  # noqa: S104 - the case under test
    with pytest.raises(ConfigurationError, match=r"duetto key NAME.*DUETTO_ALLOW_ANONYMOUS=1.*--host 127\.0\.0\.1"):
        check_exposure(everyone)
    check_exposure(settings)
    check_exposure(everyone.model_copy(update={"api_keys": KEYS}))
    check_exposure(everyone.model_copy(update={"allow_anonymous": True}))
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    arguments = parser.parse_args(["--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path / "none")])  # noqa: S104
    with pytest.raises(ConfigurationError, match="DUETTO_API_KEYS"):
        serve.run(arguments)
    assert not (tmp_path / "none").exists()


class From:
    """ASGI middleware: the connection came in at `host`, as it does where a server listens on all addresses."""

    def __init__(self, app: FastAPI, host: str | None) -> None:
        self._app = app
        self._server = (host, 8000 if host else None)

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def] # a test's stand-in
        await self._app({**scope, "server": self._server}, receive, send)


@pytest.mark.parametrize(("host", "anonymous", "status"), [
    ("192.0.2.1", False, 401), ("192.0.2.1", True, 200), ("127.0.0.1", False, 200), (None, False, 200),
])  # fmt: skip
def test_without_keys_this_machine_alone_is_answered(
    settings: Settings, redis_client: redis.Redis, host: str | None, anonymous: bool, status: int
) -> None:
    app = create_app(settings.model_copy(update={"allow_anonymous": anonymous}))
    with ServedApp(From(app, host)) as url, httpx.Client(base_url=url, timeout=20) as client:  # type: ignore[arg-type]
        response = client.get("/v1/jobs")
        assert response.status_code == status
        if status == 401:
            assert "DUETTO_API_KEYS" in problem(response, 401, "unauthorized")["detail"]
        assert client.get("/livez").status_code == 200


def test_a_request_has_an_id(client: httpx.Client) -> None:
    given = client.get(f"/v1/jobs/{UNKNOWN_ID}", headers={"X-Request-Id": "proxy-7:a/b"})
    assert given.headers["X-Request-Id"] == given.json()["request_id"] == "proxy-7:a/b"
    made = {client.get("/livez").headers["X-Request-Id"] for _ in range(2)}
    assert len(made) == 2
    for name in ("", "two words", "x" * 129, 'quote"'):
        answer = client.get("/v1/nothing", headers={"X-Request-Id": name})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_a_failure_can_be_found_in_the_log(
    settings: Settings, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis_client.hset(f"duetto:job:{UNKNOWN_ID}", mapping={"id": UNKNOWN_ID, "state": "odd"})
    with served(create_app(settings)) as client, caplog.at_level(logging.ERROR, logger="duetto.api"):
        answer = client.get(f"/v1/jobs/{UNKNOWN_ID}", headers={"X-Request-Id": "look-for-me"})
    body = problem(answer, 500, "internal_error")
    assert answer.headers["X-Request-Id"] == body["request_id"] == "look-for-me"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert f"look-for-me failed: ValidationError in GET /v1/jobs/{UNKNOWN_ID}" in caplog.text


def test_every_answer_keeps_browsers_in_check(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/livez", "/openapi.json", "/v1/jobs", f"/v1/jobs/{UNKNOWN_ID}", "/nothing"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert len(headers.get_list("Content-Security-Policy")) == 1
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_no_other_origin_may_call_unless_told(client: httpx.Client) -> None:
    answer = client.get("/v1/instruments", headers={"Origin": "https://music.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_origins_that_may_call(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings.model_copy(update={"cors_origins": "https://music.example/, https://b.example"}))
    with served(app) as client:
        allowed = client.get("/v1/jobs", headers={"Origin": "https://music.example"})
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://music.example"
        assert {"etag", "location", "repr-digest", "x-request-id"} <= {
            name.strip().lower() for name in allowed.headers["Access-Control-Expose-Headers"].split(",")
        }
        refused = client.get("/v1/jobs", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in refused.headers
        wanted = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        }
        preflight = client.options("/v1/jobs", headers={"Origin": "https://b.example"} | wanted)
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://b.example"
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
