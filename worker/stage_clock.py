"""How long the stages of an attempt take, for the tally (app/metrics)."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.jobs.states import Stage
from app.metrics.families import STAGE_DURATION
from app.metrics.tally import Tally


class StageClock:
    """Observes each stage that was brought to its end; one that failed, or was cut short, tells nothing.

    Parameters
    ----------
    clock : seconds since whenever

    Attributes
    ----------
    tally : what was observed, for the end of the attempt
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.tally = Tally()
        self._clock = clock
        self._stage: Stage | None = None
        self._began = 0.0

    def enter(self, stage: Stage) -> None:
        """A stage begins, and with it the one before has ended."""
        self.end()
        self._stage, self._began = stage, self._clock()

    def end(self) -> None:
        """The last stage has ended well."""
        if self._stage is not None:
            self.tally.observe(STAGE_DURATION, self._stage, value=self._clock() - self._began)
        self._stage = None
