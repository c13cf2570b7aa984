"""Celery's settings, as Celery itself reads them, and what the queue sends."""

from __future__ import annotations

import base64
import json

import pytest
import redis
from celery import Celery
from celery.app.defaults import DEFAULTS

from app.errors import BrokerUnavailable, ConfigurationError
from app.queue import (
    GPU_QUEUE_NAME,
    QUEUE_NAME,
    QUEUES,
    TASK_NAME,
    JobQueue,
    QueueName,
    celery_options,
    move_newest_to_front,
    next_job_ids,
)
from app.settings import Settings


def test_celery_knows_every_setting(settings: Settings) -> None:
    # Celery ignores a name it does not know, misspelt ones too. `visibility_timeout` is read by name only.
    assert set(celery_options(settings)) - set(DEFAULTS) == {"visibility_timeout"}


@pytest.mark.parametrize("soft_limit_s", [1, 3600, 86400])
def test_no_job_outlives_the_visibility_timeout(settings: Settings, soft_limit_s: int) -> None:
    app = Celery("test", set_as_current=False)
    app.conf.update(celery_options(settings.model_copy(update={"soft_time_limit_s": soft_limit_s})))
    assert app.conf.task_soft_time_limit == soft_limit_s
    assert app.conf.task_soft_time_limit < app.conf.task_time_limit < app.conf.visibility_timeout
    assert app.conf.broker_transport_options["visibility_timeout"] == app.conf.visibility_timeout
    assert app.conf.result_backend_transport_options["visibility_timeout"] == app.conf.visibility_timeout


def test_the_transport_takes_over_the_timeouts(settings: Settings) -> None:
    app = Celery("test", set_as_current=False)
    app.conf.update(celery_options(settings))
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        assert channel.visibility_timeout == settings.visibility_timeout_s
        assert (channel.unacked_restore_interval, channel.unacked_restore_throttle) == (10, 1)
        assert channel.queue_order_strategy == "priority"


def test_a_worker_takes_from_both_queues_and_looks_at_the_first_first(settings: Settings) -> None:
    app = Celery("test", set_as_current=False)
    app.conf.update(celery_options(settings))
    assert tuple(app.amqp.queues.consume_from) == QUEUES
    app.amqp.queues.select([QUEUE_NAME, GPU_QUEUE_NAME])
    assert tuple(app.amqp.queues.consume_from) == (QUEUE_NAME, GPU_QUEUE_NAME), "as --queues names them"
    assert {queue.routing_key for queue in app.amqp.queues.values()} == set(QUEUES)


@pytest.mark.parametrize("queue", QUEUES)
def test_a_message_goes_to_its_own_queue(settings: Settings, redis_client: redis.Redis, queue: QueueName) -> None:
    jobs = JobQueue(settings)
    for job_id in ("a" * 32, "b" * 32):
        jobs.enqueue(job_id, queue)
    assert {name: redis_client.llen(name) for name in QUEUES} == dict.fromkeys(QUEUES, 0) | {queue: 2}
    assert next_job_ids(redis_client, queue) == ["a" * 32]
    move_newest_to_front(redis_client, queue)
    assert next_job_ids(redis_client, queue) == ["b" * 32]
    assert [next_job_ids(redis_client, other) for other in QUEUES if other != queue] == [[]]


@pytest.mark.parametrize(
    ("behind", "delivered"),
    [(None, "cab"), ("a", "acb"), ("b", "abc"), ("x", "cab")],
    ids=["first", "between", "last", "behind one that was taken"],
)
def test_the_newest_message_goes_to_the_front(
    settings: Settings, redis_client: redis.Redis, behind: str | None, delivered: str
) -> None:
    jobs = JobQueue(settings)
    for letter in "abc":
        jobs.enqueue(letter * 32)
    move_newest_to_front(redis_client, behind=behind and behind * 32)
    assert next_job_ids(redis_client, most=9) == [letter * 32 for letter in delivered]


def test_an_empty_queue_has_no_newest_message(redis_client: redis.Redis) -> None:
    move_newest_to_front(redis_client, behind="a" * 32)
    assert redis_client.llen(QUEUE_NAME) == 0


@pytest.mark.parametrize("queue", QUEUES)
def test_a_message_that_is_handed_back_keeps_its_queue(
    settings: Settings, redis_client: redis.Redis, queue: QueueName
) -> None:
    JobQueue(settings).enqueue("a" * 32, queue)
    app = Celery("test", set_as_current=False)
    app.conf.update(celery_options(settings))
    with app.connection_for_read() as connection, connection.SimpleQueue(app.amqp.queues[queue]) as inbox:
        message = inbox.get(timeout=10)
        assert redis_client.llen(queue) == 0
        message.requeue()
    assert {name: redis_client.llen(name) for name in QUEUES} == dict.fromkeys(QUEUES, 0) | {queue: 1}


def test_a_message_names_the_task_and_the_job(settings: Settings, redis_client: redis.Redis) -> None:
    queue = JobQueue(settings)
    for job_id in ("a" * 32, "b" * 32):
        queue.enqueue(job_id)
    # The oldest is last: workers take from the right.
    messages = [json.loads(message) for message in reversed(redis_client.lrange(QUEUE_NAME, 0, -1))]
    assert [message["headers"]["id"] for message in messages] == ["a" * 32, "b" * 32]
    assert messages[0]["headers"]["task"] == TASK_NAME
    arguments, keywords, _ = json.loads(base64.b64decode(messages[0]["body"]))
    assert (arguments, keywords) == (["a" * 32], {})


def test_no_broker(settings: Settings) -> None:
    queue = JobQueue(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    with pytest.raises(BrokerUnavailable, match="not taken"):
        queue.enqueue("a" * 32)


def test_no_broker_set(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="DUETTO_REDIS_URL"):
        JobQueue(settings.model_copy(update={"redis_url": None}))
