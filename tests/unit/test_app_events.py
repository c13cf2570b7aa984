"""Server-sent events: what comes, what is replayed, when it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx
import redis

from app.api.events import job_events
from app.api.watch import JobWatch
from app.jobs.states import Stage
from app.jobs.store import JobStore
from app.main import create_app
from app.settings import Settings
from tests.conftest import ServedApp
from tests.unit.test_app_api import post
from tests.unit.test_app_bad_input import UNKNOWN_ID, problem

Event = dict[str, Any]


def parse(lines: Iterator[str]) -> Iterator[Event]:
    """The events of a stream, as a browser would read them."""
    event: Event = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
            continue
        if "data" in event:
            yield event | {"data": json.loads(event["data"])}
        event = {}


@contextmanager
def following(client: httpx.Client, job_id: str, **headers: str) -> Iterator[Iterator[Event]]:
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-cache"
        yield parse(response.iter_lines())


def test_every_change_until_the_job_has_ended(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)["id"]
    with following(client, job_id) as events:
        first = next(events)
        assert (first["event"], first["data"]["state"], first["data"]["queue_position"]) == ("job", "queued", 0)
        assert first["data"] == client.get(f"/v1/jobs/{job_id}").json()
        store.start(job_id)
        assert next(events)["data"]["state"] == "running"
        store.progress(job_id, Stage.SEPARATE, 0.5)
        assert next(events)["data"]["progress"] == 0.5
        store.request_cancel(job_id)
        assert next(events)["data"]["cancel_requested"] is True
        store.cancel(job_id)
        assert next(events)["data"]["state"] == "canceled"
        assert list(events) == []


def test_a_move_in_the_queue_is_an_event(client: httpx.Client, store: JobStore) -> None:
    ahead, job_id = post(client)["id"], post(client)["id"]
    with following(client, job_id) as events:
        assert next(events)["data"]["queue_position"] == 1
        store.start(ahead)
        assert next(events)["data"]["queue_position"] == 0


def test_what_was_seen_is_not_sent_again(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)["id"]
    with following(client, job_id) as events:
        seen = next(events)["id"]
    store.start(job_id)
    with following(client, job_id, **{"Last-Event-ID": seen}) as events:
        missed = next(events)
        assert missed["data"]["state"] == "running"
    with following(client, job_id, **{"Last-Event-ID": missed["id"]}) as events:
        store.progress(job_id, Stage.TAG, 0.25)
        assert next(events)["data"]["progress"] == 0.25


def test_a_browser_that_has_seen_the_end_is_told_to_stop(client: httpx.Client) -> None:
    job_id = post(client)["id"]
    client.post(f"/v1/jobs/{job_id}/cancel")
    with following(client, job_id, **{"Last-Event-ID": "1-0"}) as events:
        (last,) = events
    again = client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last["id"]})
    assert (again.status_code, again.content) == (204, b"")


def test_a_job_that_is_deleted_meanwhile(client: httpx.Client) -> None:
    job_id = post(client)["id"]
    with following(client, job_id) as events:
        next(events)
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
        last = next(events)
        assert (last["event"], last["data"]) == ("deleted", {"id": job_id})
        assert list(events) == []


def test_no_such_job(client: httpx.Client) -> None:
    problem(client.get(f"/v1/jobs/{UNKNOWN_ID}/events"), 404, "job_not_found")


def test_many_follow_and_the_rest_still_answers(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)["id"]
    url = str(client.base_url.join(f"/v1/jobs/{job_id}/events"))
    begun = threading.Barrier(51)
    ends: list[str] = []

    def follow() -> None:
        with httpx.stream("GET", url, timeout=60) as response:
            events = parse(response.iter_lines())
            next(events)
            begun.wait()
            ends.append(list(events)[-1]["data"]["state"])

    followers = [threading.Thread(target=follow) for _ in range(50)]
    for follower in followers:
        follower.start()
    begun.wait()
    assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    for follower in followers:
        follower.join()
    assert ends == ["canceled"] * 50


class CountingStore(JobStore):
    """Counts the round trips."""

    looks = 0

    def look(self, job_ids: Any) -> Any:
        self.looks += 1
        return super().look(job_ids)


def test_all_who_wait_share_one_look(client: httpx.Client, redis_client: redis.Redis) -> None:
    ids = [post(client)["id"] for _ in range(3)]
    store = CountingStore(redis_client)

    async def wait_for_all() -> list[str]:
        watch = JobWatch(store)
        seen: list[str] = []

        async def wait(job_id: str) -> None:
            seen.append((await watch.next_look(job_id))[0].id)

        async with anyio.create_task_group() as group:
            for job_id in ids * 20:
                group.start_soon(wait, job_id)
        return seen

    assert sorted(anyio.run(wait_for_all)) == sorted(ids * 20)
    assert store.looks == 1


def collect(store: JobStore, job_id: str, count: int, keep_alive_s: float) -> list[bytes]:
    async def read() -> list[bytes]:
        watch = JobWatch(store, step_s=0.01)
        stream: AsyncIterator[bytes] = job_events(watch, await watch.look(job_id), keep_alive_s=keep_alive_s)
        return [await anext(stream) for _ in range(count)]

    return anyio.run(read)


def test_a_silent_job_keeps_the_connection_alive(client: httpx.Client, store: JobStore) -> None:
    retry, event, *comments = collect(store, post(client)["id"], 5, keep_alive_s=0.0)
    assert retry.startswith(b"retry: ")
    assert event.startswith(b"event: job\n")
    assert comments == [b": ping\n\n"] * 3


class FlakyStore(JobStore):
    """A store whose Redis is away for the second look."""

    looks = 0

    def look(self, job_ids: Any) -> Any:
        self.looks += 1
        if self.looks == 2:
            raise redis.ConnectionError("away")
        return super().look(job_ids)


def test_a_broker_that_comes_back_is_waited_for(client: httpx.Client, redis_client: redis.Redis) -> None:
    job_id = post(client)["id"]
    store = FlakyStore(redis_client)
    chunks = collect(store, job_id, 4, keep_alive_s=0.0)
    assert chunks[2:] == [b": ping\n\n"] * 2
    assert store.looks > 2


def test_a_listener_that_leaves_is_noticed(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings)
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        job_id = post(client)["id"]
        watch: JobWatch = app.state.watch
        with following(client, job_id) as events:
            next(events)
            app.state.store.start(job_id)
            next(events)
            assert not watch.is_idle
        pause = threading.Event()
        for _ in range(500):
            if watch.is_idle:
                break
            pause.wait(0.02)
        assert watch.is_idle
