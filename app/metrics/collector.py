"""What a scrape answers: the common tally, and how queue, workers, broker and storage stand at this moment.

One round trip to Redis, whose cost does not grow with the number of jobs: indexes know their sizes, the oldest
waiting job is the first of its index, and all else is counted as it happens.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.jobs.states import JobState
from app.metrics.families import FAMILIES
from app.metrics.tally import KEY, Totals
from app.presence import GONE_AFTER_S, WORKERS_KEY
from app.queue import QUEUES
from app.webhooks.outbox import OUTBOX

_INDEX: Final = "duetto:jobs"


class ServiceCollector(Collector):
    """Reads everything anew at each scrape. If Redis does not answer, the rest is told all the same.

    Parameters
    ----------
    client : a Redis client with ``decode_responses=True``
    data_dir : the folder whose file system is told of
    version : of Duetto
    """

    def __init__(self, client: redis.Redis, data_dir: Path, version: str) -> None:
        self._redis = client
        self._data_dir = data_dir
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        yield _gauge("duetto_build_info", "What runs; always 1.", {(self._version,): 1}, "version")
        yield from self._storage()
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.info("memory")
        pipeline.zrange(WORKERS_KEY, 0, -1, withscores=True)
        pipeline.hgetall(KEY)
        for state in JobState:
            pipeline.zcard(f"{_INDEX}:{state}")
        for queue in QUEUES:
            pipeline.zcard(f"{_INDEX}:{JobState.QUEUED}:{queue}")
        for queue in QUEUES:
            pipeline.zrange(f"{_INDEX}:{JobState.QUEUED}:{queue}", 0, 0, withscores=True)
        pipeline.zcard(OUTBOX)
        try:
            (seconds, microseconds), memory, workers, amounts, *counted, webhooks = pipeline.execute()
        except redis.RedisError:
            yield _gauge("duetto_broker_up", _BROKER_UP, {(): 0})
            return
        now = seconds + microseconds / 1e6
        yield _gauge("duetto_broker_up", _BROKER_UP, {(): 1})
        yield from _broker(memory)
        states, queues = len(JobState), len(QUEUES)
        yield _gauge(
            "duetto_jobs",
            "Jobs there are, by state.",
            {(state,): n for state, n in zip(JobState, counted[:states], strict=True)},
            "state",
        )
        yield from _queues(counted[states : states + queues], counted[states + queues :], now)
        yield from _workers(workers, now)
        yield _gauge("duetto_webhooks_pending", "Webhooks that are due or will be sent again.", {(): webhooks})
        yield from _tallied(Totals(amounts))

    def _storage(self) -> Iterator[Metric]:
        try:
            usage = shutil.disk_usage(self._data_dir)
        except OSError:  # not there yet: the first upload makes it
            return
        yield _gauge("duetto_storage_free_bytes", "Free space of the data folder's file system.", {(): usage.free})
        yield _gauge("duetto_storage_size_bytes", "Size of the data folder's file system.", {(): usage.total})


_BROKER_UP: Final = "Whether Redis answered; without it most of what follows is missing."


def _gauge(name: str, text: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _broker(memory: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("duetto_broker_memory_bytes", "Memory that Redis uses.", {(): float(memory.get("used_memory", 0))})
    yield _gauge(
        "duetto_broker_memory_limit_bytes", "Redis's `maxmemory`; 0: none.", {(): float(memory.get("maxmemory", 0))}
    )


def _queues(lengths: Sequence[int], fronts: Sequence[Sequence[tuple[str, float]]], now: float) -> Iterator[Metric]:
    by_queue: dict[tuple[str, ...], float] = {(queue,): length for queue, length in zip(QUEUES, lengths, strict=True)}
    yield _gauge("duetto_queue_length", "Jobs that wait for a worker.", by_queue, "queue")
    ages: dict[tuple[str, ...], float] = {
        (queue,): max(0.0, now - front[0][1]) if front else 0.0 for queue, front in zip(QUEUES, fronts, strict=True)
    }
    yield _gauge("duetto_queue_oldest_seconds", "How long the job at the front has waited; 0: none.", ages, "queue")


def _workers(workers: Sequence[tuple[str, float]], now: float) -> Iterator[Metric]:
    there = sum(now - spoken_at < GONE_AFTER_S for _, spoken_at in workers)
    yield _gauge("duetto_workers", "Workers that have been heard of lately.", {(): there})
    yield _gauge(
        "duetto_worker_last_heartbeat_timestamp_seconds",
        "When each worker was last heard of, by Redis's clock; those that stopped in good order are not listed.",
        {(name,): spoken_at for name, spoken_at in workers},
        "worker",
    )


def _tallied(totals: Totals) -> Iterator[Metric]:
    for family in FAMILIES:
        if family.buckets:
            histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
            for labels, (buckets, total) in totals.histogram(family).items():
                histogram.add_metric(labels, buckets, total)
            yield histogram
        else:
            counter = CounterMetricFamily(family.name, family.help, labels=family.labels)
            amounts = totals.counter(family)
            if not family.labels and not amounts:
                amounts = {(): 0.0}  # a counter that is there from the start: its first step shows as one
            for labels, amount in amounts.items():
                counter.add_metric(labels, amount)
            yield counter
