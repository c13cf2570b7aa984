"""Another sample rate, block by block: same duration, same place of every sound (soxr, "HQ": flat up to 0.9 of the
lower of both Nyquist frequencies, 120 dB down beyond it)."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

FLAT_TO = 0.9  # of the lower of both Nyquist frequencies


class Resampler:
    """Converts sound that arrives piece by piece; what comes out does not depend on the pieces."""

    def __init__(self, channels: int, rate: int, new_rate: int) -> None:
        """`rate`, `new_rate`: Hz. Where they are the same, samples pass as they are."""
        self._channels = channels
        self._stream = None if rate == new_rate else soxr.ResampleStream(rate, new_rate, channels, dtype="float32")

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is known so far and was not returned before; both (channels, samples) float32."""
        if self._stream is None:
            return block
        # (channels, samples) -> (samples, channels) and back
        resampled: NDArray[np.float32] = self._stream.resample_chunk(np.ascontiguousarray(block.T)).T
        return resampled

    def flush(self) -> NDArray[np.float32]:
        """End the sound and return the rest of it: in all, samples * new_rate / rate, rounded."""
        nothing = np.zeros((self._channels, 0), np.float32)
        if self._stream is None:
            return nothing
        rest: NDArray[np.float32] = self._stream.resample_chunk(np.ascontiguousarray(nothing.T), last=True).T
        return rest
