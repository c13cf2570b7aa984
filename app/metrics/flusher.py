"""Brings the tally of a web process to Redis every few seconds, so that no request waits for it."""

from __future__ import annotations

import logging
import threading
from typing import Final

import redis

from app.metrics.tally import Tally

logger = logging.getLogger(__name__)

FLUSH_EVERY_S: Final = 2.0


class Flusher:
    """The thread. What a process that is killed has not flushed is lost: `FLUSH_EVERY_S` seconds of counts."""

    def __init__(self, tally: Tally, client: redis.Redis) -> None:
        self._tally = tally
        self._client = client
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Flush what is left and end. Blocking: for as long as Redis takes to answer, or not to."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        was_taken = True
        is_last = False
        while not is_last:
            is_last = self._done.wait(FLUSH_EVERY_S)
            is_taken = self._tally.try_flush(self._client)
            if was_taken and not is_taken:
                logger.warning("counts wait until Redis takes them")
            was_taken = is_taken
