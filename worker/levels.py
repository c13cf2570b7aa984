"""Levels of a signal that arrives block by block."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SILENCE = 1e-5  # full scale 1.0: -100 dB, below the last bit of 16-bit sound


class Level:
    """Peak and root mean square over all channels, full scale 1.0."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._energy = 0.0
        self._count = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take a block (channels, samples), float32."""
        if block.size:
            self.peak = max(self.peak, float(np.abs(block).max()))
            self._energy += float(np.square(block, dtype=np.float64).sum())
            self._count += block.size

    def as_decibels(self) -> dict[str, float | None]:
        """Return peak and RMS in dB relative to full scale; None where silent."""
        rms = math.sqrt(self._energy / self._count) if self._count else 0.0
        return {"peak_db": _decibels(self.peak), "rms_db": _decibels(rms)}


def _decibels(amplitude: float) -> float | None:
    return round(20.0 * math.log10(amplitude), 2) if amplitude > 0.0 else None
