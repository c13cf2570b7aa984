"""Another sample rate, for formats that know only some: same duration, same place of every sound."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

_LAYOUTS = ("mono", "stereo")


class Resampler:
    """Converts one or two channels from one rate to another, block by block; rates in Hz."""

    def __init__(self, channels: int, rate: int, new_rate: int) -> None:
        self._channels = channels
        self._layout = _LAYOUTS[channels - 1]
        self._rate = rate
        self._ratio = Fraction(new_rate, rate)
        self._taken = 0
        self._given = 0
        self._inner = AudioResampler("fltp", self._layout, new_rate)

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is known of the sound so far, and was not returned before; both (channels, samples) float32."""
        if not block.shape[1]:
            return self._none()
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._taken, Fraction(1, self._rate)
        self._taken += block.shape[1]
        return self._given_from(frame, most=None)

    def finish(self) -> NDArray[np.float32]:
        """Return the rest, so that in all there are round(samples * new_rate / rate), one at least."""
        if not self._taken:
            return self._none()
        missing = max(1, round(self._taken * self._ratio)) - self._given
        tail = self._given_from(None, most=missing)
        return np.pad(tail, ((0, 0), (0, missing - tail.shape[1])))

    def _given_from(self, frame: AudioFrame | None, *, most: int | None) -> NDArray[np.float32]:
        pieces = [piece.to_ndarray() for piece in self._inner.resample(frame)]
        joined: NDArray[np.float32] = np.concatenate([self._none(), *pieces], axis=1)[:, :most]
        self._given += joined.shape[1]
        return joined

    def _none(self) -> NDArray[np.float32]:
        return np.zeros((self._channels, 0), np.float32)
