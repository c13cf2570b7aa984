"""Webhooks from the end of a job to a real receiver, on a real Valkey, with a clock that the test sets."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from app.api.views import view_job
from app.jobs.record import Delivery, Job
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.settings import Settings
from app.storage import LocalStorage
from app.webhooks.outbox import LEASE_S, Outbox
from app.webhooks.signature import key_of, parse_secrets, to_text
from tests.conftest import leftovers
from tests.unit.test_app_store import ERROR, new_job
from tests.unit.test_worker_expiry import Clock
from tests.unit.webhook_receiver import SECRET, Receiver, receiving
from worker.expiry import expire_jobs
from worker.webhooks.deliverer import MOST_AT_ONCE_PER_HOST, Deliverer
from worker.webhooks.schedule import PAUSES_S

ROOT = Path(__file__).parents[2]
TTL_S = 1000.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(redis_client: redis.Redis, clock: Clock) -> JobStore:
    return JobStore(redis_client, clock)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings by which webhooks may go to this machine."""
    return settings.model_copy(
        update={"webhook_secret": SecretStr(SECRET), "webhook_allow_private": "127.0.0.1/32,127.0.0.2/32"}
    )


Deliver = Callable[..., Deliverer]


@pytest.fixture
def deliverer_of(settings: Settings, clock: Clock) -> Iterator[Deliver]:
    """Makes deliverers whose time is the test's, and whose jitter is none."""
    made: list[Deliverer] = []

    def make(**more: Any) -> Deliverer:
        made.append(Deliverer(settings, clock=clock, draw=lambda: 0.0, **more))
        return made[-1]

    yield make
    for deliverer in made:
        deliverer.stop()


@pytest.fixture
def deliverer(deliverer_of: Deliver) -> Deliverer:
    return deliverer_of()


def send_due(deliverer: Deliverer) -> None:
    deliverer.look()
    assert deliverer.wait_idle(30)


def posted(store: JobStore, url: str) -> Job:
    job = new_job(time.time()).model_copy(update={"webhook_url": url})
    store.create(job)
    return job


def ended(store: JobStore, url: str) -> Job:
    job = posted(store, url)
    store.start(job.id)
    return store.succeed(job.id)


def delivery_of(store: JobStore, job: Job) -> Delivery:
    delivery = store.get(job.id).delivery
    assert delivery is not None
    return delivery


ENDS: dict[str, Callable[[JobStore, str], Job]] = {
    "job.succeeded": lambda store, job_id: (store.start(job_id), store.succeed(job_id))[1],
    "job.failed": lambda store, job_id: store.fail(job_id, ERROR),
    "job.canceled": lambda store, job_id: store.request_cancel(job_id),
}


@pytest.mark.parametrize("event", ENDS)
def test_an_end_is_told_signed(
    timed: JobStore, deliverer: Deliverer, receiver: Receiver, redis_client: redis.Redis, clock: Clock, event: str
) -> None:
    job = posted(timed, receiver.url(path="/hook?for=music"))
    send_due(deliverer)
    assert receiver.seen == [], "it has not ended"
    job = ENDS[event](timed, job.id)
    before = view_job(job, None)
    assert before.webhook is not None
    assert (before.webhook.state, before.webhook.attempts) == ("pending", 0)
    send_due(deliverer)
    [(path, headers, body)] = receiver.seen
    assert path == "/hook?for=music"
    message = Webhook(SECRET).verify(body, headers)
    assert message["type"] == event
    assert message["data"]["id"] == job.id
    assert message["data"]["state"] == event.removeprefix("job.")
    assert message["timestamp"] == message["data"]["finished_at"]
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    told = timed.get(job.id)
    assert told.delivery == Delivery(state="delivered", attempts=1, last_status=204)
    assert told.version == job.version + 1, "the ETag changes"
    send_due(deliverer)
    assert len(receiver.seen) == 1
    assert Outbox(redis_client, clock).count() == 0


def test_each_owner_of_an_api_key_has_a_secret_of_their_own(
    timed: JobStore, deliverer: Deliverer, receiver: Receiver
) -> None:
    job = new_job(time.time()).model_copy(update={"webhook_url": receiver.url(), "owner": "alice"})
    timed.create(job)
    timed.request_cancel(job.id)
    send_due(deliverer)
    [(_, headers, body)] = receiver.seen
    (key,) = parse_secrets(SecretStr(SECRET))
    assert Webhook(to_text(key_of(key, "alice"))).verify(body, headers)["data"]["id"] == job.id
    for other in (SECRET, to_text(key_of(key, "bob"))):
        with pytest.raises(WebhookVerificationError):
            Webhook(other).verify(body, headers)


def test_a_worker_that_stops_for_a_cancel_tells_too(timed: JobStore, deliverer: Deliverer, receiver: Receiver) -> None:
    job = posted(timed, receiver.url())
    timed.start(job.id)
    timed.request_cancel(job.id)
    send_due(deliverer)
    assert receiver.seen == []
    timed.cancel(job.id)
    send_due(deliverer)
    assert Webhook(SECRET).verify(*reversed(receiver.seen[0][1:]))["type"] == "job.canceled"


def test_nobody_is_told_who_did_not_ask(timed: JobStore, redis_client: redis.Redis) -> None:
    job = new_job(time.time())
    timed.create(job)
    timed.request_cancel(job.id)
    assert Outbox(redis_client).count() == 0
    assert view_job(timed.get(job.id), None).webhook is None


def test_the_data_are_the_job_as_it_was_at_its_end(timed: JobStore, deliverer: Deliverer, receiver: Receiver) -> None:
    job = ended(timed, receiver.url())
    view = view_job(timed.get(job.id), None)
    receiver.answers = [(500, {})]
    send_due(deliverer)
    message = Webhook(SECRET).verify(*reversed(receiver.seen[0][1:]))
    told = type(view).model_validate(message["data"])
    assert told == view


def test_it_is_sent_again_by_the_schedule_and_then_given_up(
    timed: JobStore, deliverer: Deliverer, receiver: Receiver, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="worker.webhooks")
    job = ended(timed, receiver.url(path="/hook?token=hush"))
    receiver.answers = [(500, {})] * (len(PAUSES_S) + 1)
    for attempt, pause_s in enumerate((*PAUSES_S, None), start=1):
        send_due(deliverer)
        assert len(receiver.seen) == attempt
        delivery = delivery_of(timed, job)
        assert (delivery.attempts, delivery.last_status) == (attempt, 500)
        if pause_s is None:
            assert (delivery.state, delivery.next_attempt_at) == ("failed", None)
            break
        assert (delivery.state, delivery.next_attempt_at) == ("pending", clock.now + pause_s)
        clock.now += pause_s - 0.5
        send_due(deliverer)
        assert len(receiver.seen) == attempt, "not before its time"
        clock.now += 1
    clock.now += 1e6
    send_due(deliverer)
    assert len(receiver.seen) == 10
    assert len({headers["webhook-id"] for _, headers, _ in receiver.seen}) == 1
    assert len({body for _, _, body in receiver.seen}) == 1, "the same each time"
    stamps = [int(headers["webhook-timestamp"]) for _, headers, _ in receiver.seen]
    assert stamps == sorted(set(stamps)), "each attempt is signed anew"
    assert f"job {job.id}: its webhook is given up after 10 attempts (HTTP 500)" in caplog.text
    assert "hush" not in caplog.text


def test_gone_ends_it(timed: JobStore, deliverer: Deliverer, receiver: Receiver, redis_client: redis.Redis) -> None:
    job = ended(timed, receiver.url())
    receiver.answers = [(410, {})]
    send_due(deliverer)
    assert delivery_of(timed, job) == Delivery(state="failed", attempts=1, last_status=410)
    assert Outbox(redis_client).count() == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(timed: JobStore, deliverer: Deliverer, receiver: Receiver, status: int) -> None:
    with receiving("127.0.0.3") as inside:
        receiver.answers = [(status, {"Location": inside.url("127.0.0.3", "/secrets")})]
        job = ended(timed, receiver.url())
        send_due(deliverer)
        assert (delivery_of(timed, job).state, delivery_of(timed, job).last_status) == ("pending", status)
        assert inside.seen == []
    assert len(receiver.seen) == 1


def test_a_name_that_leads_elsewhere_the_second_time(timed: JobStore, deliverer_of: Deliver, clock: Clock) -> None:
    """DNS rebinding: what is checked is what is connected to, in one look at the name."""
    looks: list[str] = []
    leads_to = ["127.0.0.2", "127.0.0.3", "127.0.0.3"]

    def resolve(host: str, port: int) -> tuple[str, ...]:
        looks.append(host)
        return (leads_to[len(looks) - 1],)

    with receiving("127.0.0.2") as outside, receiving("127.0.0.3", outside.port) as inside:
        outside.answers = [(500, {})]
        job = ended(timed, outside.url("rebind.example"))
        deliverer = deliverer_of(resolve=resolve)
        send_due(deliverer)
        assert looks == ["rebind.example"]
        assert outside.seen[0][1]["host"] == f"rebind.example:{outside.port}"
        clock.now += PAUSES_S[0] + 1
        send_due(deliverer)
        refused = delivery_of(timed, job)
        assert (refused.state, refused.attempts, refused.last_status) == ("pending", 2, None)
        assert refused.last_error == "address_refused"
        assert (len(outside.seen), inside.seen) == (1, [])


def test_a_slow_receiver_holds_up_nobody_else(
    timed: JobStore, deliverer: Deliverer, receiver: Receiver, clock: Clock
) -> None:
    with receiving("127.0.0.2") as slow:
        slow.gate = threading.Event()
        held = [ended(timed, slow.url("127.0.0.2")) for _ in range(40)]
        quick = [ended(timed, receiver.url()) for _ in range(3)]
        deliverer.look()
        for _ in range(MOST_AT_ONCE_PER_HOST):
            assert slow.arrived.acquire(timeout=30)
        for _ in range(MOST_AT_ONCE_PER_HOST):
            assert receiver.arrived.acquire(timeout=30)
        assert len(slow.seen) == MOST_AT_ONCE_PER_HOST
        # The third waits for the first two, and not for the slow ones.
        while len(receiver.seen) < len(quick):
            clock.now += 3
            deliverer.look()
            receiver.arrived.acquire(timeout=1)
        assert len(slow.seen) == MOST_AT_ONCE_PER_HOST
        slow.gate.set()
        while not all((store_delivery := timed.get(job.id).delivery) and store_delivery.attempts for job in held):
            clock.now += 3
            send_due(deliverer)
        assert all(timed.get(job.id).delivery == Delivery(state="delivered", attempts=1, last_status=204)
                   for job in (*held, *quick))  # fmt: skip


def test_one_deliverer_at_a_time_and_another_when_it_is_lost(
    timed: JobStore, deliverer_of: Deliver, receiver: Receiver, clock: Clock
) -> None:
    first, second = deliverer_of(), deliverer_of()
    job = ended(timed, receiver.url())
    receiver.gate = threading.Event()
    receiver.answers = [(500, {}), (200, {})]
    first.look()
    assert receiver.arrived.acquire(timeout=30)
    clock.now += LEASE_S - 1
    second.look()
    assert second.wait_idle(0), "the first has it"
    clock.now += 2
    second.look()
    assert receiver.arrived.acquire(timeout=30)
    receiver.gate.set()
    assert first.wait_idle(30)
    assert second.wait_idle(30)
    assert [headers["webhook-id"] for _, headers, _ in receiver.seen] == [f"msg_{job.id}"] * 2
    assert delivery_of(timed, job) == Delivery(state="delivered", attempts=1, last_status=200), (
        "the late one is not heard"
    )


KILLED = """
import sys
from app.settings import get_settings
from worker.webhooks.deliverer import Deliverer
deliverer = Deliverer(get_settings())
deliverer.look()
deliverer.wait_idle()
"""


def test_a_deliverer_that_is_killed_loses_nothing(
    timed: JobStore, deliverer: Deliverer, receiver: Receiver, settings: Settings, clock: Clock
) -> None:
    job = ended(timed, receiver.url())
    receiver.gate = threading.Event()
    environment = {
        "DUETTO_REDIS_URL": str(settings.redis_url),
        "DUETTO_WEBHOOK_SECRET": SECRET,
        "DUETTO_WEBHOOK_ALLOW_PRIVATE": "127.0.0.0/8",
    }
    with subprocess.Popen([sys.executable, "-c", KILLED], env=environment, cwd=ROOT) as process:
        assert receiver.arrived.acquire(timeout=60)
        process.send_signal(signal.SIGKILL)
    receiver.gate.set()
    assert timed.get(job.id).delivery is None
    clock.now = time.time() + LEASE_S
    send_due(deliverer)
    assert delivery_of(timed, job).state == "delivered"
    assert [headers["webhook-id"] for _, headers, _ in receiver.seen] == [f"msg_{job.id}"] * 2


def test_a_deleted_job_is_told_of_no_more(
    timed: JobStore, deliverer: Deliverer, receiver: Receiver, redis_client: redis.Redis
) -> None:
    job = ended(timed, receiver.url())
    timed.delete(job.id)
    send_due(deliverer)
    assert receiver.seen == []
    under_way = ended(timed, receiver.url())
    receiver.gate = threading.Event()
    deliverer.look()
    assert receiver.arrived.acquire(timeout=30)
    timed.delete(under_way.id)
    receiver.gate.set()
    assert deliverer.wait_idle(30)
    assert leftovers(redis_client) == [], "no late write brings it back"


def test_an_expired_job_is_still_told_of_until_its_record_goes(
    timed: JobStore, storage: LocalStorage, deliverer: Deliverer, receiver: Receiver, redis_client: redis.Redis,
    clock: Clock,
) -> None:  # fmt: skip
    job = ended(timed, receiver.url())
    receiver.answers = [(500, {})] * 3
    send_due(deliverer)
    clock.now += TTL_S + 1
    expire_jobs(timed, storage, TTL_S, clock.now)
    assert timed.get(job.id).state is JobState.EXPIRED
    send_due(deliverer)
    assert receiver.seen[1][2] == receiver.seen[0][2], "it tells of the end, not of the expiry"
    assert (delivery_of(timed, job).state, delivery_of(timed, job).attempts) == ("pending", 2)
    clock.now += TTL_S + 1
    expire_jobs(timed, storage, TTL_S, clock.now)
    assert leftovers(redis_client) == []


def test_a_worker_without_the_secret_leaves_them_to_others(
    timed: JobStore, settings: Settings, receiver: Receiver, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    ended(timed, receiver.url())
    poor = Deliverer(settings.model_copy(update={"webhook_secret": None}))
    poor.start()
    deadline = time.monotonic() + 30
    while "DUETTO_WEBHOOK_SECRET" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    poor.stop()
    assert "no secret to sign them with" in caplog.text
    assert receiver.seen == []
    assert Outbox(redis_client).count() == 1
    rich = Deliverer(settings)
    rich.start()
    assert receiver.arrived.acquire(timeout=30)
    rich.stop()
