"""The time that a job may take, by the length of its recording.

Looked at wherever a job looks whether it was canceled. What does not look, native code that hangs, Celery's limits end.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from app.settings import Settings
from worker.errors import TimeLimit
from worker.media.info import MediaInfo


class Deadline:
    """Runs from its making, for `job_time_s`; from the probe on for `job_time_per_s` more for each second of sound."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the time of a job. `clock` gives seconds."""
        self._settings = settings
        self._clock = clock
        self._began = clock()
        self._most_s = settings.job_time_s

    def probed(self, info: MediaInfo) -> None:
        """Take the recording's length into account; one that does not tell it counts as the longest that is taken."""
        length_s = self._settings.max_duration_s if info.duration_s is None else info.duration_s
        self._most_s = self._settings.job_time_s + self._settings.job_time_per_s * length_s

    def check(self) -> None:
        """Do nothing while there is time left.

        Raises
        ------
        TimeLimit
            If there is none.
        """
        if self._clock() - self._began > self._most_s:
            raise TimeLimit(
                f"The job took longer than the {self._most_s:,.0f} s that a recording of this length is given. "
                "Try again when the server is less busy, or upload a shorter recording."
            )
