"""The outline of a signal that arrives block by block, for whoever draws a waveform.

How long the signal will be is not known before its end. So a point stands for few samples at first, and for twice as
many each time that there would be too many points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 2000  # twice what a wide screen shows of a recording; at least half as many are there
_FIRST_SAMPLES = 64


class Waveform:
    """Peaks over all channels, full scale 1.0, of pieces of equal length that follow each other."""

    def __init__(self) -> None:
        self.samples_per_point = _FIRST_SAMPLES
        self._peaks = np.zeros(0, np.float32)
        self._rest = np.zeros(0, np.float32)

    def add(self, block: NDArray[np.float32]) -> None:
        """Take a block (channels, samples), float32."""
        if not block.size:
            return
        waiting = np.concatenate([self._rest, np.abs(block).max(axis=0)])
        whole = len(waiting) - len(waiting) % self.samples_per_point
        self._rest = waiting[whole:]
        pieces = waiting[:whole].reshape(-1, self.samples_per_point)
        # shape (points,)
        self._peaks = np.concatenate([self._peaks, pieces.max(axis=1, initial=0.0)])
        while len(self._peaks) > MOST_POINTS:
            self._halve()

    def points(self) -> list[float]:
        """Return the peaks, each of `samples_per_point` samples, the last one of what was left."""
        last = [float(self._rest.max())] if self._rest.size else []
        return [round(float(peak), 3) for peak in (*self._peaks, *last)]

    def _halve(self) -> None:
        pairs = len(self._peaks) // 2
        if len(self._peaks) % 2:
            # Half a new point: it becomes samples again, of which only the peak is still known.
            odd = np.full(self.samples_per_point, self._peaks[-1], np.float32)
            self._rest = np.concatenate([odd, self._rest])
        self._peaks = self._peaks[: 2 * pairs].reshape(-1, 2).max(axis=1)
        self.samples_per_point *= 2
