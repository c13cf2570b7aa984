"""Levels of a signal that arrives block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from worker.errors import Canceled, SilentSound

ShouldStop = Callable[[], bool]

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


def sounding(blocks: Iterable[NDArray[np.float32]], should_stop: ShouldStop) -> Iterator[NDArray[np.float32]]:
    """Yield the blocks, (channels, samples) float32.

    Raises
    ------
    SilentSound
        At the end, for whoever reads that far, if there was nothing but silence.
    Canceled
        If `should_stop` returned true.
    """
    level = Level()
    for block in blocks:
        if should_stop():
            raise Canceled
        level.add(block)
        yield block
    if level.peak < SILENCE:
        raise SilentSound


def _decibels(amplitude: float) -> float | None:
    return round(20.0 * math.log10(amplitude), 2) if amplitude > 0.0 else None
