"""The connection to Redis (or Valkey), with the timeouts that let a dead one be noticed."""

from __future__ import annotations

from typing import Final

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from app.errors import ConfigurationError
from app.settings import Settings

CONNECT_TIMEOUT_S: Final = 2.0
SOCKET_TIMEOUT_S: Final = 5.0
# One retry bridges a restart of Redis between two requests; more would hold a request for nothing.
_RETRIES: Final = 1
_RETRY_PAUSE_S: Final = 0.1


def broker_url(settings: Settings) -> str:
    """Return the URL of Redis.

    Raises
    ------
    ConfigurationError
        If none is set.
    """
    if settings.redis_url is None:
        raise ConfigurationError(
            "no Redis is set: give DUETTO_REDIS_URL, for instance redis://localhost:6379/0, "
            "or run `duetto serve`, which starts its own"
        )
    return settings.redis_url


def connect(settings: Settings) -> redis.Redis:
    """Return a client whose answers are `str`. It connects with the first command, not here.

    Raises
    ------
    ConfigurationError
        If no Redis is set.
    """
    return redis.Redis.from_url(
        broker_url(settings),
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(ConstantBackoff(_RETRY_PAUSE_S), _RETRIES),
    )
