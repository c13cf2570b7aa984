"""Which queue a job is sent to: by what it uses, not only by what it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
import redis

from app.errors import ConfigurationError
from app.jobs.lease import Leases
from app.jobs.record import JobOptions
from app.jobs.store import JobStore
from app.main import create_app
from app.queue import GPU_QUEUE_NAME, QUEUE_NAME, QUEUES
from app.routing import parse_gpu_jobs, queue_of
from app.settings import Settings
from tests.conftest import ServedApp
from tests.unit.test_app_api import VIDEO, WAV

Post = Callable[..., str]


@pytest.mark.parametrize(
    ("options", "operator", "queue"),
    [
        ({"tagger": "densenet161"}, {}, GPU_QUEUE_NAME),
        ({"tagger": "efficientnet-lite2"}, {"tagger": "densenet161"}, QUEUE_NAME),
        ({"tagger": "auto"}, {"tagger": "densenet161"}, GPU_QUEUE_NAME),
        ({"tagger": "auto"}, {}, QUEUE_NAME),
        ({"tagger": "densenet161", "left": "violin"}, {}, GPU_QUEUE_NAME),
        ({"tagger": "densenet161", "left": "violin", "right": "cello"}, {}, QUEUE_NAME),
        ({"separator": "report"}, {"gpu_jobs": "report"}, GPU_QUEUE_NAME),
        ({"separator": "auto"}, {"gpu_jobs": "report"}, QUEUE_NAME),
        ({"separator": "auto"}, {"gpu_jobs": "learned"}, GPU_QUEUE_NAME),
        ({"separator": "auto"}, {"gpu_jobs": "learned", "separator": "report"}, QUEUE_NAME),
        ({"tagger": "densenet161"}, {"gpu_jobs": None}, QUEUE_NAME),
        ({"tagger": "densenet161"}, {"gpu_jobs": ""}, QUEUE_NAME),
    ],
)
def test_what_a_job_uses_says_where_it_waits(
    settings: Settings, options: dict[str, str], operator: dict[str, str | None], queue: str
) -> None:
    known = settings.model_copy(update={"gpu_jobs": "densenet161"} | operator)
    assert queue_of(JobOptions.model_validate({"format": "wav"} | options), known) == queue


def test_names_have_commas_between() -> None:
    assert parse_gpu_jobs(" densenet161 ,nmf,") == {"densenet161", "nmf"}


@pytest.mark.parametrize("setting", ["densenet", "auto", "densenet161 nmf", "densenet161,x"])
def test_a_name_of_nothing(settings: Settings, setting: str) -> None:
    with pytest.raises(ConfigurationError, match="DUETTO_GPU_JOBS: no tagger or separator is called"):
        create_app(settings.model_copy(update={"gpu_jobs": setting}))


@pytest.fixture
def routed(settings: Settings, redis_client: redis.Redis) -> Settings:
    return settings.model_copy(update={"gpu_jobs": "densenet161,report"})


def test_each_queue_has_its_own_messages_and_places(
    routed: Settings, redis_client: redis.Redis, store: JobStore
) -> None:
    with ServedApp(create_app(routed)) as url, httpx.Client(base_url=url, timeout=60.0) as client:

        def post(**options: str) -> str:
            answer = client.post("/v1/jobs", files=VIDEO, data=options)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

        def place(job_id: str) -> int | None:
            found: int | None = client.get(f"/v1/jobs/{job_id}").json()["queue_position"]
            return found

        def lengths() -> list[str]:
            lines = client.get("/metrics").text.splitlines()
            return [line for line in lines if line.startswith("duetto_queue_length{")]

        ordinary, gpu = [post(), post()], [post(tagger="densenet161"), post(separator="report")]
        sent = {
            queue: [json.loads(raw)["headers"]["id"] for raw in reversed(redis_client.lrange(queue, 0, -1))]
            for queue in QUEUES
        }
        assert sent == {GPU_QUEUE_NAME: gpu, QUEUE_NAME: ordinary}
        assert [store.get(job_id).queue for job_id in (*ordinary, *gpu)] == [QUEUE_NAME] * 2 + [GPU_QUEUE_NAME] * 2
        assert [place(job_id) for job_id in (*ordinary, *gpu)] == [0, 1, 0, 1]
        assert [job["queue_position"] for job in client.get("/v1/jobs").json()["jobs"]] == [1, 0, 1, 0]
        assert lengths() == ['duetto_queue_length{queue="duetto-gpu"} 2.0', 'duetto_queue_length{queue="duetto"} 2.0']
        # Every way to leave the queue leaves its index too.
        store.start(gpu[0])
        client.post(f"/v1/jobs/{ordinary[0]}/cancel")
        assert [place(job_id) for job_id in (*ordinary, *gpu)] == [None, 0, None, 0]
        store.cancel(gpu[1])
        client.delete(f"/v1/jobs/{ordinary[1]}")
        assert [redis_client.exists(f"duetto:jobs:queued:{queue}") for queue in QUEUES] == [0, 0]
        assert store.queued_count() == 0


def test_sound_alone_uses_no_tagger(routed: Settings, redis_client: redis.Redis) -> None:
    with ServedApp(create_app(routed)) as url, httpx.Client(base_url=url, timeout=60.0) as client:
        named = {"left": "violin", "right": "cello", "tagger": "densenet161"}
        answer = client.post("/v1/jobs", files={"audio": ("a.wav", WAV)}, data=named)
    assert answer.status_code == 202, answer.text
    assert [redis_client.llen(queue) for queue in QUEUES] == [0, 1]


def test_a_record_of_before_there_were_two(store: JobStore, redis_client: redis.Redis, routed: Settings) -> None:
    with ServedApp(create_app(routed)) as url:
        answer = httpx.post(f"{url}/v1/jobs", files=VIDEO, data={"tagger": "densenet161"})
    job_id = answer.json()["id"]
    redis_client.hdel(f"duetto:job:{job_id}", "queue")
    assert store.get(job_id).queue == QUEUE_NAME
    (lease,) = Leases(redis_client).of([job_id])
    assert lease.queue == QUEUE_NAME
    assert store.start(job_id).attempts == 1
