"""The connection to Redis (or Valkey), with the timeouts that let a dead one be noticed, and what its errors mean.

The embedded Valkey, a Redis with a password, one with ACL users and one behind TLS differ in the URL and three
files, and nowhere else: ``redis[s]://[USER][:PASSWORD]@HOST[:PORT][/DATABASE]``.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from app.errors import BrokerFull, BrokerUnavailable, ConfigurationError, DuettoError
from app.settings import Settings

CONNECT_TIMEOUT_S: Final = 2.0
SOCKET_TIMEOUT_S: Final = 5.0
# So long after an answer that names the broker, trying again makes sense.
RETRY_AFTER_S: Final = 5
FULL_RETRY_AFTER_S: Final = 30  # room comes when jobs expire or someone acts, which takes longer than a restart
# One retry bridges a restart of Redis between two requests; more would hold a request for nothing.
_RETRIES: Final = 1
_RETRY_PAUSE_S: Final = 0.1
_DEFAULT_PORT: Final = 6379
_KEPT_FREE: Final = 0.05  # of `maxmemory`: no new job is taken beyond
ROOM_KEY: Final = "duetto:room"  # is written for a millisecond to see whether there is room

# What Redis refuses because of its own state or rights, by the word that its answer begins with.
BROKER_STATES: Final = (redis.OutOfMemoryError, redis.ReadOnlyError, redis.exceptions.NoPermissionError)
_UNUSABLE: Final = ("MISCONF", "READONLY", "NOPERM", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS")


def broker_url(settings: Settings) -> str:
    """Return the URL of Redis.

    Raises
    ------
    ConfigurationError
        If none is set, or it is none.
    """
    if settings.redis_url is None:
        raise ConfigurationError(
            "no Redis is set: give DUETTO_REDIS_URL, for instance redis://localhost:6379/0, "
            "or run `duetto serve`, which starts its own"
        )
    try:
        parts = urlsplit(settings.redis_url)
        is_usable = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable:
        # Never the text itself: it may hold a password.
        raise ConfigurationError(
            "DUETTO_REDIS_URL is no address of a Redis: wanted redis://HOST:PORT/0, with a user and a password "
            "redis://USER:PASSWORD@HOST:PORT/0, with TLS rediss://...; "
            "characters such as @ : / # % in a password are written %40 %3A %2F %23 %25"
        )
    return settings.redis_url


def shown_address(settings: Settings) -> str:
    """Return host, port and database of Redis, for messages: never with a user or a password."""
    parts = urlsplit(broker_url(settings))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or _DEFAULT_PORT}{parts.path}"


def tls_options(settings: Settings) -> dict[str, Any]:
    """Return what redis-py and kombu both take for TLS; empty without TLS. The server's name is always checked.

    Raises
    ------
    ConfigurationError
        If a file is named that is not there, or one without TLS.
    """
    files = {
        "ssl_ca_certs": ("DUETTO_REDIS_CA_FILE", settings.redis_ca_file),
        "ssl_certfile": ("DUETTO_REDIS_CERT_FILE", settings.redis_cert_file),
        "ssl_keyfile": ("DUETTO_REDIS_KEY_FILE", settings.redis_key_file),
    }
    given: dict[str, tuple[str, Path]] = {
        option: (variable, path) for option, (variable, path) in files.items() if path is not None
    }
    if not broker_url(settings).startswith("rediss:"):
        if given:
            named = ", ".join(variable for variable, _ in given.values())
            raise ConfigurationError(
                f"{named} is for TLS, and DUETTO_REDIS_URL is without: write rediss:// instead of redis://, or unset it"
            )
        return {}
    if "ssl_keyfile" in given and "ssl_certfile" not in given:
        raise ConfigurationError("DUETTO_REDIS_KEY_FILE is the key of DUETTO_REDIS_CERT_FILE, which is not set")
    for variable, path in given.values():
        if not path.is_file():
            raise ConfigurationError(f"{variable} names {path}, which is no file")
    options = {option: str(path) for option, (_, path) in given.items()}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **options}


def connect(settings: Settings) -> redis.Redis:
    """Return a client whose answers are `str`. It connects with the first command, not here.

    Raises
    ------
    ConfigurationError
        If no Redis is set, or its settings contradict each other.
    """
    return redis.Redis.from_url(
        broker_url(settings),
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(ConstantBackoff(_RETRY_PAUSE_S), _RETRIES),
        **tls_options(settings),
    )


def check_room(client: redis.Redis) -> None:
    """Return if Redis has memory for another job.

    Some is kept for the jobs that there are: a worker that Redis refuses to write for ends (measured, Celery 5.7),
    and takes down what its other children run.

    Raises
    ------
    BrokerFull
        If less than `_KEPT_FREE` of its memory is left.
    redis.exceptions.RedisError
        If it is full, or cannot be reached.
    """
    pipeline = client.pipeline(transaction=False)
    pipeline.set(ROOM_KEY, "1", px=1)  # where INFO does not tell of the limit
    pipeline.info("memory")
    _, memory = pipeline.execute()
    limit = int(memory.get("maxmemory", 0))
    if limit and int(memory.get("used_memory", 0)) > (1.0 - _KEPT_FREE) * limit:
        raise _full()


def broker_problem(error: BaseException) -> DuettoError | None:
    """Return what a user is told about an error of Redis; None if it is a fault of ours, not a state of Redis.

    The error's own text is left out: it names addresses.
    """
    text = str(error)
    if isinstance(error, redis.OutOfMemoryError) or text.startswith("OOM "):
        return _full()
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthorizationError):
        return _unavailable("the job queue refuses the server's user or password; its operator must correct them")
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
        return _unavailable("the job queue cannot be reached; try again in a moment")
    if isinstance(error, BROKER_STATES) or text.startswith(_UNUSABLE):
        return _unavailable("the job queue takes no writes at present; its operator must see to it")
    return None


def _unavailable(detail: str) -> BrokerUnavailable:
    return BrokerUnavailable(detail, retry_after_s=RETRY_AFTER_S)


def _full() -> BrokerFull:
    return BrokerFull(
        "the job queue has no memory left for another job, and nothing was kept of this request; try again "
        "later, or delete jobs that are done. Its operator can give Redis more `maxmemory`",
        retry_after_s=FULL_RETRY_AFTER_S,
    )
