"""GET /metrics over a real socket and a real Valkey: what is counted, by whom, and who may see it."""

from __future__ import annotations

import hashlib
import time

import httpx
import pytest
import redis
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from pydantic import SecretStr

from app.broker import connect
from app.jobs.record import JobError
from app.jobs.states import Stage
from app.jobs.store import JobStore
from app.main import create_app
from app.metrics.families import HTTP_REQUESTS, JOB_DURATION, STAGE_DURATION
from app.metrics.tally import KEY, Tally, Totals
from app.presence import About, Presence
from app.queue import QUEUE_NAME
from app.settings import Settings
from tests.conftest import ServedApp
from tests.unit.test_app_store import new_job
from tests.unit.webhook_receiver import SECRET, receiving
from worker.stage_clock import StageClock
from worker.webhooks.deliverer import Deliverer

MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(1000)
TITLE = "a-name-that-nobody-else-has.mp4"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(client: httpx.Client) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


def post(client: httpx.Client) -> str:
    answer = client.post("/v1/jobs", files={"video": (TITLE, MP4)})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_the_life_of_jobs_is_counted(client: httpx.Client, store: JobStore) -> None:
    succeeded, failed, canceled, waiting = (post(client) for _ in range(4))
    store.start(succeeded)
    store.succeed(succeeded)
    store.start(failed)
    store.progress(failed, Stage.PROBE, 0.1)
    store.fail(failed, JobError(code="no_audio", message="The upload has no sound."))
    client.post(f"/v1/jobs/{canceled}/cancel")
    client.post(f"/v1/jobs/{canceled}/cancel")
    samples = scrape(client)
    assert value(samples, "duetto_jobs_created_total") == 4
    assert [value(samples, "duetto_jobs", state=state) for state in ("queued", "succeeded", "failed", "canceled")] == [
        1, 1, 1, 1,
    ]  # fmt: skip
    assert value(samples, "duetto_queue_length", queue=QUEUE_NAME) == 1
    assert (value(samples, "duetto_queue_oldest_seconds", queue=QUEUE_NAME) or 0) > 0
    assert value(samples, "duetto_jobs_ended_total", state="canceled") == 1, "asking twice ends it once"
    assert value(samples, "duetto_job_failures_total", code="no_audio") == 1
    assert value(samples, "duetto_job_attempts_total") == 2
    assert value(samples, "duetto_job_retries_total") == 0
    assert value(samples, "duetto_job_duration_seconds_count", state="succeeded") == 1
    assert value(samples, "duetto_job_wait_seconds_count") == 2
    assert store.get(waiting).state == "queued"


def test_a_second_attempt_is_a_retry(client: httpx.Client, store: JobStore, redis_client: redis.Redis) -> None:
    job_id = post(client)
    store.start(job_id)
    redis_client.hdel(f"duetto:job:{job_id}", "heartbeat_at")
    store.start(job_id)
    samples = scrape(client)
    assert value(samples, "duetto_job_attempts_total") == 2
    assert value(samples, "duetto_job_retries_total") == 1
    assert value(samples, "duetto_job_wait_seconds_count") == 1


def test_webhooks_are_counted_by_what_came_of_them(
    settings: Settings, client: httpx.Client, redis_client: redis.Redis
) -> None:
    assert value(scrape(client), "duetto_webhooks_pending") == 0
    now = time.time()
    store = JobStore(redis_client, clock=lambda: now)
    allowed = {"webhook_secret": SecretStr(SECRET), "webhook_allow_private": "127.0.0.1/32"}
    deliverer = Deliverer(settings.model_copy(update=allowed), clock=lambda: now)
    with receiving() as receiver:
        receiver.answers = [(500, {}), (410, {})]
        for _ in range(4):
            job = new_job(now).model_copy(update={"webhook_url": receiver.url()})
            store.create(job)
            store.request_cancel(job.id)
            deliverer.look()
            assert deliverer.wait_idle(30)
    deliverer.stop()
    samples = scrape(client)
    states = ("pending", "failed", "delivered")
    assert [value(samples, "duetto_webhook_attempts_total", state=state) for state in states] == [1, 1, 2]
    assert value(samples, "duetto_webhooks_pending") == 1, "what was answered 500 is sent again"


def test_requests_are_counted_by_route_and_never_by_path(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)
    for _ in range(3):
        client.get(f"/v1/jobs/{job_id}")
    client.get("/v1/jobs/" + "0" * 32)
    client.get("/no/such/path")
    client.request("BREW", "/v1/jobs")
    answer = client.get("/metrics")
    samples = scrape(client)
    requests = "duetto_http_requests_total"
    assert value(samples, requests, method="GET", route="/v1/jobs/{job_id}", status="200") == 3
    assert value(samples, requests, method="GET", route="/v1/jobs/{job_id}", status="404") == 1
    assert value(samples, requests, method="POST", route="/v1/jobs", status="202") == 1
    assert value(samples, requests, method="GET", route="(none)", status="404") == 1
    assert "BREW" not in answer.text
    seconds = "duetto_http_request_duration_seconds_count"
    assert value(samples, seconds, method="GET", route="/v1/jobs/{job_id}") == 4
    received = value(samples, "duetto_http_received_bytes_total", route="/v1/jobs")
    assert received is not None
    assert received > len(MP4)
    assert (value(samples, "duetto_http_sent_bytes_total", route="/v1/jobs/{job_id}") or 0) > 100
    for secret in (job_id, TITLE, "no/such/path"):
        assert secret not in answer.text


def test_every_process_has_the_same_totals(settings: Settings, client: httpx.Client) -> None:
    post(client)
    scrape(client)  # brings what it has counted
    with ServedApp(create_app(settings)) as url, httpx.Client(base_url=url) as other:
        post(other)
        samples = scrape(other)
    requests = "duetto_http_requests_total"
    assert value(samples, requests, method="POST", route="/v1/jobs", status="202") == 2
    assert value(samples, "duetto_jobs_created_total") == 2


def test_a_process_that_stops_brings_what_it_has_counted(settings: Settings, redis_client: redis.Redis) -> None:
    with ServedApp(create_app(settings)) as url, httpx.Client(base_url=url) as client:
        client.get("/livez")
    totals = Totals(redis_client.hgetall(KEY))
    assert totals.counter(HTTP_REQUESTS) == {("GET", "/livez", "200"): 1}


def test_openmetrics_where_it_is_asked_for(client: httpx.Client) -> None:
    post(client)
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(answer.text)}
    assert {"duetto_jobs", "duetto_jobs_created", "duetto_http_request_duration_seconds", "duetto_workers"} <= names


def test_a_scrape_costs_one_round_trip_for_any_number_of_jobs(client: httpx.Client, redis_client: redis.Redis) -> None:
    def commands() -> dict[str, int]:
        stats = redis_client.info("commandstats")
        return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}

    scrape(client)
    scrape(client)
    before = commands()
    scrape(client)
    few = {name: calls - before.get(name, 0) for name, calls in commands().items()}
    for _ in range(20):
        post(client)
    scrape(client)
    before = commands()
    scrape(client)
    many = {name: calls - before.get(name, 0) for name, calls in commands().items()}
    for name in ("zcard", "zrange", "hgetall", "hget", "time", "scan", "keys"):
        assert many.get(name, 0) == few.get(name, 0), name
    assert many["hgetall"] == 1


def test_without_a_broker_it_says_so(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    away.data_dir.mkdir(parents=True)
    with ServedApp(create_app(away)) as url, httpx.Client(base_url=url) as client:
        samples = scrape(client)
    assert value(samples, "duetto_broker_up") == 0
    assert (value(samples, "duetto_storage_free_bytes") or 0) > 0
    assert value(samples, "duetto_queue_length", queue=QUEUE_NAME) is None


def test_counts_wait_for_a_broker_that_is_away(settings: Settings, redis_client: redis.Redis) -> None:
    tally = Tally()
    tally.count(HTTP_REQUESTS, "GET", "/livez", "200")
    away = connect(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    assert not tally.try_flush(away)
    tally.count(HTTP_REQUESTS, "GET", "/livez", "200")
    assert tally.try_flush(redis_client)
    assert tally.try_flush(redis_client)
    assert Totals(redis_client.hgetall(KEY)).counter(HTTP_REQUESTS) == {("GET", "/livez", "200"): 2}


def test_histograms_are_cumulated(redis_client: redis.Redis) -> None:
    tally = Tally()
    for seconds in (0.05, 0.1, 0.2, 100_000.0):
        tally.observe(JOB_DURATION, "succeeded", value=seconds)
    tally.flush(redis_client)
    ((labels, (buckets, total)),) = Totals(redis_client.hgetall(KEY)).histogram(JOB_DURATION).items()
    assert labels == ("succeeded",)
    assert dict(buckets)["0.1"] == 2
    assert dict(buckets)["0.25"] == 3
    assert dict(buckets)["21600.0"] == 3
    assert dict(buckets)["+Inf"] == 4
    assert total == pytest.approx(100_000.35)


def test_what_another_version_counted_is_left_out() -> None:
    totals = Totals({"duetto_of_the_future|x": "1", "duetto_jobs_ended|a|b": "2", f"{HTTP_REQUESTS.name}|GET": "3"})
    assert totals.counter(HTTP_REQUESTS) == {}


def test_stages_that_ended_well_are_observed(redis_client: redis.Redis) -> None:
    moments = iter([0.0, 1.0, 4.0, 4.0, 20.0])
    stages = StageClock(lambda: next(moments))
    stages.enter(Stage.PROBE)
    stages.enter(Stage.TAG)
    stages.enter(Stage.SEPARATE)  # and is never ended
    stages.tally.flush(redis_client)
    sums = {labels: total for labels, (_, total) in Totals(redis_client.hgetall(KEY)).histogram(STAGE_DURATION).items()}
    assert sums == {("probe",): 1.0, ("tag",): 0.0}


def test_workers_that_speak_are_seen(client: httpx.Client, redis_client: redis.Redis) -> None:
    presence = Presence(redis_client)
    about = About(host="box", version="1", slots=2)
    presence.speak("a@box", about)
    presence.speak("b@box", about)
    redis_client.zincrby("duetto:workers", -60.0, "b@box")
    redis_client.zadd("duetto:workers", {"long-gone@box": 1.0})
    presence.speak("a@box", about)
    assert [(worker.name, worker.is_there) for worker in presence.workers()] == [("a@box", True), ("b@box", False)]
    samples = scrape(client)
    assert value(samples, "duetto_workers") == 1
    heartbeat = "duetto_worker_last_heartbeat_timestamp_seconds"
    assert (value(samples, heartbeat, worker="a@box") or 0) > (value(samples, heartbeat, worker="b@box") or 0) > 0
    presence.leave("a@box")
    assert value(scrape(client), heartbeat, worker="a@box") is None


def test_who_may_see_them(settings: Settings, redis_client: redis.Redis) -> None:
    entry = "prometheus:" + hashlib.sha256(b"the-key").hexdigest()
    locked = settings.model_copy(update={"api_keys": entry})
    with ServedApp(create_app(locked)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"Authorization": "Bearer the-key"}).status_code == 200
