"""This worker's word that it is there (app/presence.py), from a thread of its parent process."""

from __future__ import annotations

import logging
import platform
import threading
from typing import Final

from redis.exceptions import RedisError

from app.broker import connect
from app.presence import WORD_EVERY_S, About, Presence, added_here
from app.settings import Settings
from app.version import duetto_version

logger = logging.getLogger(__name__)
STOP_WAIT_S: Final = 2.0


class Announcer:
    """The thread. `start` it when the worker takes jobs, `stop` it when it no longer does."""

    def __init__(self, name: str, settings: Settings, queues: tuple[str, ...]) -> None:
        """`name`: Celery's name of this worker; `queues`: those that it takes jobs from."""
        self._name = name
        self._about = About(
            host=platform.node(), version=duetto_version(), slots=settings.workers, queues=queues, added=added_here()
        )
        self._client = connect(settings)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Begin, with a word at once."""
        self._thread.start()

    def stop(self) -> None:
        """Take leave and end."""
        self._done.set()
        # Not for long: a broker that is away must not hold up the worker's stop.
        self._thread.join(STOP_WAIT_S)

    def _run(self) -> None:
        presence = Presence(self._client)
        is_done = False
        while not is_done:
            try:
                presence.speak(self._name, self._about)
            except RedisError as error:
                logger.debug("the broker does not hear this worker (%s)", type(error).__name__)
            is_done = self._done.wait(WORD_EVERY_S)
        try:
            presence.leave(self._name)
        except RedisError as error:
            logger.debug("the broker was not told that this worker stops (%s)", type(error).__name__)
        self._client.close()
