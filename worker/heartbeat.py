"""The heartbeat of the attempt that this process runs."""

from __future__ import annotations

import logging
import os
import platform
import threading
from types import TracebackType
from typing import Self

from redis.exceptions import RedisError

from app.broker import connect
from app.jobs.lease import BEAT_EVERY_S, Leases
from app.logs.context import log_context
from app.settings import Settings

logger = logging.getLogger(__name__)


def worker_token(pid: int | None = None) -> str:
    """Return the name by which the lease of a job knows the process `pid` of this machine (None: this one)."""
    return f"{platform.node()}:{os.getpid() if pid is None else pid}"


class Heartbeat:
    """Beats for one attempt from entering to leaving, whatever the main thread does meanwhile.

    A thread of its own, with a connection of its own: decoding and linear algebra take seconds without
    coming back to Python, but they let other threads run.

    Attributes
    ----------
    is_lost : bool
        Whether the job has been given to another attempt, has ended or was deleted: this one must stop.
    """

    def __init__(self, job_id: str, attempt: int, settings: Settings, every_s: float = BEAT_EVERY_S) -> None:
        self.is_lost = False
        self._job_id = job_id
        self._attempt = attempt
        self._every_s = every_s
        self._client = connect(settings)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{job_id[:8]}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._client.close()

    def _beat(self) -> None:
        with log_context(job_id=self._job_id, attempt=self._attempt):
            self._beat_until_done(Leases(self._client))

    def _beat_until_done(self, leases: Leases) -> None:
        while not self._done.wait(self._every_s):
            try:
                if leases.beat(self._job_id, self._attempt):
                    continue
            except RedisError as error:
                # The broker may be restarting; nobody can take the job away meanwhile.
                logger.warning("job %s: the heartbeat was not taken (%s)", self._job_id, type(error).__name__)
                continue
            self.is_lost = True
            return
