"""Windows of frames: how a recording that arrives as a stream is cut for a separator, and joined again.

A window is `block_frames` long and reaches `overlap_frames` into the next one; there the two masks are
cross-faded, so that no seam is heard. What a frame gets depends on the frames alone, not on the pieces in
which they came. Without an overlap, blocks stand side by side, as in the report.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.nmf import ShouldStop
from models.separators.protocol import Separator
from models.stft import N_FREQ, pooled_magnitude

Masked = tuple[NDArray[np.complex64], NDArray[np.float32]]
"""A spectrum (channels, freq, frames) and the left player's share of it (known freq, frames)."""


class WindowedMask:
    """Spectra in, spectra with their masks out, in memory that does not grow with the recording."""

    def __init__(self, separator: Separator, left: str, right: str, should_stop: ShouldStop | None = None) -> None:
        self._separator = separator
        self._names = (left, right)
        self._should_stop = should_stop
        self._overlap = separator.overlap_frames
        self._window = separator.block_frames + self._overlap
        # Frames that have no final mask yet; the first of them lie in the tail of the last window.
        self._waiting: NDArray[np.complex64] | None = None
        self._tail: NDArray[np.float32] | None = None
        # Magnitudes of the frames before those, so that the last window of a recording is a full one.
        self._past: NDArray[np.float32] | None = None

    def push(self, spectrum: NDArray[np.complex64]) -> Iterator[Masked]:
        """Take frames, (channels, freq, frames) complex64, and yield those whose masks are final."""
        self._waiting = spectrum if self._waiting is None else np.concatenate([self._waiting, spectrum], axis=2)
        while self._waiting.shape[2] >= self._window:
            V = pooled_magnitude(self._waiting[:, :N_FREQ, : self._window])
            mask = self._faded(self._mask(V))
            done = self._window - self._overlap
            self._tail = mask[:, done:] if self._overlap else None
            if self._overlap:
                self._past = V[:, :done]
            ready, self._waiting = self._waiting[:, :, :done], self._waiting[:, :, done:].copy()
            yield ready, mask[:, :done]

    def flush(self) -> Iterator[Masked]:
        """End the recording and yield what is left of it."""
        rest, self._waiting = self._waiting, None
        if rest is None or rest.shape[2] == 0:
            return
        if self._tail is not None and rest.shape[2] == self._overlap:
            yield rest, self._tail
            return
        V = pooled_magnitude(rest[:, :N_FREQ])
        if self._past is not None:
            V = np.concatenate([self._past[:, V.shape[1] - self._window :], V], axis=1)
        yield rest, self._faded(self._mask(V)[:, -rest.shape[2] :])

    def _mask(self, V: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._separator.mask(V, *self._names, self._should_stop)

    def _faded(self, mask: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fade from the last window's mask into this one, over the frames that both have."""
        if self._tail is None:
            return mask
        share = np.arange(1, self._overlap + 1, dtype=np.float32) / np.float32(self._overlap + 1)
        head = self._tail * (1 - share) + mask[:, : self._overlap] * share
        return np.concatenate([head, mask[:, self._overlap :]], axis=1)
