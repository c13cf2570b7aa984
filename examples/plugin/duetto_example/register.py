"""Separator ``register``: what lies low goes to the lower instrument, what lies high to the higher one.

A separator of magnitudes: Duetto transforms, it says which share of each point is the left player's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

HZ_PER_ROW = 44_100 / 4096  # the same at every sample rate
# Lowest and highest usual note, in Hz.
RANGES = {
    "accordion": (175.0, 1760.0),
    "acoustic_guitar": (82.0, 1319.0),
    "cello": (65.0, 1047.0),
    "trumpet": (165.0, 1047.0),
    "flute": (262.0, 2093.0),
    "xylophone": (349.0, 4186.0),
    "saxophone": (139.0, 880.0),
    "violin": (196.0, 3520.0),
}


class RegisterSeparator:
    """Crosses over between the middles of both ranges, `steepness` times 6 dB an octave."""

    block_frames = 108  # 5 s
    overlap_frames = 0  # no frame depends on another

    def __init__(self, steepness: float = 4.0) -> None:
        self._steepness = steepness
        self.parameters: dict[str, Any] = {"steepness": steepness}
        self.provenance: dict[str, Any] = {}  # nothing was learnt

    def mask(
        self,
        V: NDArray[np.float32],
        left: str,
        right: str,
        should_stop: Callable[[], bool] | None = None,  # noqa: ARG002 - for separators that take long
    ) -> NDArray[np.float32]:
        """Return the left player's share of V (freq, frames) float32: the same shape, 0 to 1."""
        # The middle of a range is a geometric mean, and so is the middle of two.
        middles = [float(np.prod(RANGES[name])) ** 0.5 for name in (left, right)]
        crossover = (middles[0] * middles[1]) ** 0.5
        low = 1.0 / (1.0 + (np.arange(V.shape[0]) * HZ_PER_ROW / crossover) ** self._steepness)
        share = low if middles[0] <= middles[1] else 1.0 - low
        # (freq) -> (freq, frames)
        return np.repeat(share.astype(np.float32)[:, None], V.shape[1], axis=1)


def make(_surroundings: object) -> RegisterSeparator:
    """What the entry point names."""
    return RegisterSeparator()
