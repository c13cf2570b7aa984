"""Posting once and posting twice: idempotency keys, waiting in the post, quotas."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import redis

from app.api.access import Caller
from app.errors import QuotaExceeded
from app.jobs.store import JobStore
from app.main import create_app
from app.queue import QUEUE_NAME
from app.quota import UPLOAD_S, ClientQuota
from app.settings import Settings
from app.storage.protocol import Storage
from tests.conftest import ServedApp
from tests.unit.test_app_api import MP4, PNG, VIDEO, WAV, finish, post
from tests.unit.test_app_bad_input import assert_nothing_left, problem

KEY = {"Idempotency-Key": "7f1b8f2e-upload-1"}


def send(client: httpx.Client, files: Any = None, data: dict[str, str] | None = None, **headers: str) -> httpx.Response:
    return client.post("/v1/jobs", files=files or VIDEO, data=data or {}, headers=KEY | headers)


def files_of(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.data_dir.rglob("*") if path.is_file())


def test_the_same_upload_sent_again_is_the_same_job(
    client: httpx.Client, redis_client: redis.Redis, store: JobStore, settings: Settings
) -> None:
    first = send(client, data={"left": "violin"})
    store.start(first.json()["id"])
    again = send(client, data={"left": "violin", "right": ""})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["Location"] == first.headers["Location"]
    assert (again.json()["id"], again.json()["state"]) == (first.json()["id"], "running")
    assert redis_client.llen(QUEUE_NAME) == 1
    assert len(client.get("/v1/jobs").json()["jobs"]) == 1
    assert files_of(settings) == ["video.mp4"]


PICTURES = [("frames", ("1.png", PNG)), ("frames", ("2.png", PNG + b"2")), ("audio", ("a.wav", WAV))]


@pytest.mark.parametrize(
    ("files", "data"),
    [
        (VIDEO, {"left": "cello"}),
        (VIDEO, {"right": "violin"}),
        ({"video": ("duet.mp4", MP4 + b"more")}, {"left": "violin"}),
        ({"video": ("other.mp4", MP4)}, {"left": "violin"}),
        (PICTURES, {"left": "violin"}),
    ],
)
def test_a_key_that_was_used_for_something_else(
    client: httpx.Client, settings: Settings, files: Any, data: dict[str, str]
) -> None:
    job_id = send(client, data={"left": "violin"}).json()["id"]
    problem(send(client, files, data), 422, "idempotency_key_reused")
    assert [job["id"] for job in client.get("/v1/jobs").json()["jobs"]] == [job_id]
    assert files_of(settings) == ["video.mp4"]


def test_pictures_in_another_order_are_another_upload(client: httpx.Client) -> None:
    assert send(client, PICTURES).status_code == 202
    assert send(client, PICTURES).status_code == 202
    problem(send(client, [PICTURES[1], PICTURES[0], PICTURES[2]]), 422, "idempotency_key_reused")


def test_two_at_once_are_one_job(client: httpx.Client, redis_client: redis.Redis, settings: Settings) -> None:
    answers: list[httpx.Response] = []
    begun = threading.Barrier(8)

    def submit() -> None:
        begun.wait()
        answers.append(send(client))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert redis_client.llen(QUEUE_NAME) == 1
    assert files_of(settings) == ["video.mp4"]


def test_a_refused_upload_holds_no_key(client: httpx.Client, settings: Settings, redis_client: redis.Redis) -> None:
    problem(send(client, {"video": ("duet.mp4", b"")}), 422, "empty_file")
    assert_nothing_left(settings.data_dir, redis_client)
    assert send(client).status_code == 202


def test_a_job_that_is_not_queued_holds_no_key(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings)
    queue = app.state.queue
    app.state.queue = type(queue)(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        problem(send(client), 503, "broker_unavailable")
        assert_nothing_left(settings.data_dir, redis_client)
        app.state.queue = queue
        assert send(client).status_code == 202


def test_a_deleted_job_holds_no_key(client: httpx.Client) -> None:
    first = send(client).json()["id"]
    client.delete(f"/v1/jobs/{first}")
    second = send(client)
    assert second.status_code == 202
    assert second.json()["id"] != first


def test_a_key_is_forgotten_after_a_day(client: httpx.Client, redis_client: redis.Redis) -> None:
    send(client)
    (name,) = redis_client.keys("duetto:idempotency:*")
    assert 86_000 < redis_client.ttl(name) <= 86_400


def test_a_known_key_is_answered_by_a_full_server(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings.model_copy(update={"max_queued": 1}))
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        first = send(client)
        problem(client.post("/v1/jobs", files=VIDEO), 503, "queue_full")
        assert send(client).headers["Location"] == first.headers["Location"]


@pytest.mark.parametrize("key", ["", "x" * 256, "two words"])
def test_a_key_that_is_none(client: httpx.Client, key: str) -> None:
    body = problem(send(client, **{"Idempotency-Key": key}), 422, "invalid_request")
    assert body["errors"][0]["field"] == "header.idempotency-key"


def test_waiting_in_the_post(client: httpx.Client, store: JobStore, storage: Storage) -> None:
    def work() -> None:
        pause = threading.Event()
        while not (jobs := store.list().jobs):
            pause.wait(0.01)
        finish(jobs[0].id, store, storage)

    worker = threading.Thread(target=work)
    worker.start()
    response = client.post("/v1/jobs", files=VIDEO, headers={"Prefer": 'respond-async, wait="25"'})
    worker.join()
    assert (response.status_code, response.json()["state"]) == (202, "succeeded")
    assert response.headers["Preference-Applied"] == "wait=25"


def test_a_wait_that_is_too_long_is_cut(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings.model_copy(update={"max_wait_s": 1.0}))
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        response = client.post("/v1/jobs", files=VIDEO, headers={"Prefer": "wait=86400"})
        assert (response.json()["state"], response.headers["Preference-Applied"]) == ("queued", "wait=1")


@pytest.mark.parametrize("preference", ["wait", "wait=x", "wait=-1", "await=5", "return=minimal"])
def test_a_preference_that_says_nothing_to_us(client: httpx.Client, preference: str) -> None:
    response = client.post("/v1/jobs", files=VIDEO, headers={"Prefer": preference})
    assert response.status_code == 202
    assert "Preference-Applied" not in response.headers


@contextmanager
def limited(settings: Settings, most: int) -> Iterator[httpx.Client]:
    app = create_app(settings.model_copy(update={"max_queued_per_client": most}))
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def test_a_client_has_so_many_waiting(settings: Settings, redis_client: redis.Redis, store: JobStore) -> None:
    with limited(settings, 2) as client:
        first, second = post(client)["id"], post(client)["id"]
        refused = client.post("/v1/jobs", files=VIDEO)
        problem(refused, 429, "quota_exceeded")
        assert int(refused.headers["Retry-After"]) > 0
        store.start(first)
        post(client)
        problem(client.post("/v1/jobs", files=VIDEO), 429, "quota_exceeded")
        client.post(f"/v1/jobs/{second}/cancel")
        third = post(client)["id"]
        client.delete(f"/v1/jobs/{third}")
        post(client)


def test_a_refused_upload_counts_no_more(settings: Settings, redis_client: redis.Redis) -> None:
    with limited(settings, 1) as client:
        for _ in range(3):
            problem(client.post("/v1/jobs", files={"video": ("duet.mp4", b"")}), 422, "empty_file")
        assert_nothing_left(settings.data_dir, redis_client)
        job_id = post(client)["id"]
        client.delete(f"/v1/jobs/{job_id}")
        assert redis_client.keys("duetto:client:*") == []


def test_sending_again_counts_once(settings: Settings, redis_client: redis.Redis) -> None:
    with limited(settings, 1) as client:
        assert send(client).headers["Location"] == send(client).headers["Location"]
        problem(client.post("/v1/jobs", files=VIDEO), 429, "quota_exceeded")


def test_a_key_of_a_deleted_job_opens_no_way_around_the_quota(settings: Settings, redis_client: redis.Redis) -> None:
    with limited(settings, 1) as client:
        client.delete(send(client).headers["Location"])
        post(client)
        problem(send(client), 429, "quota_exceeded")
        assert len(client.get("/v1/jobs").json()["jobs"]) == 1
        (waiting,) = client.get("/v1/jobs").json()["jobs"]
        client.delete(waiting["links"]["self"])
        assert send(client).status_code == 202
        problem(client.post("/v1/jobs", files=VIDEO), 429, "quota_exceeded")


def test_uploads_under_way_count_until_they_cannot_be(redis_client: redis.Redis) -> None:
    now = 1_000_000.0
    quota = ClientQuota(redis_client, 1, clock=lambda: now)
    caller = Caller(None, "address:192.0.2.1")
    quota.reserve(caller.client, "a" * 32)
    with pytest.raises(QuotaExceeded):
        quota.reserve(caller.client, "b" * 32)
    quota.reserve("address:192.0.2.2", "c" * 32)
    now += UPLOAD_S + 1
    quota.reserve(caller.client, "b" * 32)
