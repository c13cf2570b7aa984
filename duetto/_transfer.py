"""How much of an upload or a download has gone over the line."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from duetto._connection import Connection, Listener
from duetto._job import Job
from duetto._progress import Progress

_TELL_S: Final = 0.1


class Transfer:
    """One upload or download, whose progress is told ten times a second at most.

    Parameters
    ----------
    stage : ``upload`` or ``download``
    before, share : the fraction that was done before it, and its share of the whole
    """

    def __init__(
        self,
        connection: Connection,
        on_progress: Listener | None,
        stage: str,
        job: Job | None = None,
        before: float = 0.0,
        share: float = 1.0,
    ) -> None:
        self._connection = connection
        self._on_progress = on_progress
        self._before = before
        self._share = share
        self._told = -_TELL_S
        self.progress = Progress(stage, before, job=job)

    async def at(self, fraction: float) -> None:
        """Note that it is so far, 0 to 1."""
        self.progress = replace(self.progress, fraction=self._before + self._share * fraction)
        now = time.monotonic()
        if self._on_progress is not None and (fraction >= 1.0 or now - self._told >= _TELL_S):
            self._told = now
            await self._connection.tell(self._on_progress, self.progress)
