"""Windows: how a recording that arrives as a stream is cut for a separator, and joined again.

A window is `block` long and reaches `overlap` into the next one; there the two results are cross-faded, so
that no seam is heard. What a moment gets depends on the recording alone, not on the pieces in which it came.
Without an overlap, blocks stand side by side, as in the report. Time is the last axis, in frames or samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import parallel
from models.nmf import ShouldStop
from models.separators.protocol import Separator
from models.stft import N_FREQ, pooled_magnitude

Divide = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Makes of what is seen of a window (..., time) its result (..., time)."""
Masked = tuple[NDArray[np.complex64], NDArray[np.float32]]
"""A spectrum (channels, freq, frames) and the left player's share of it (known freq, frames)."""


class Windows:
    """Pieces in, pieces with their results out, in memory that does not grow with the recording.

    Parameters
    ----------
    divide : callable
        Given one window. All but those of a recording shorter than a window, and the last one where there is no
        overlap, have block + overlap frames or samples.
    block, overlap : int [frames or samples]
    view : callable, optional
        Makes of what was pushed what `divide` is given.
    side_by_side : bool
        Whether `divide` may be called for several windows at a time (:mod:`models.parallel`).
    """

    def __init__(
        self,
        divide: Divide,
        block: int,
        overlap: int,
        view: Callable[[NDArray[Any]], NDArray[np.float32]] = lambda piece: piece,
        *,
        side_by_side: bool = False,
    ) -> None:
        self._divide = divide
        self._view = view
        self._block = block
        self._overlap = overlap
        self._window = block + overlap
        threads = parallel.threads() if side_by_side else 1
        # A window for each thread, and one for the first that is free; none, if there is one thread.
        self._ahead = threads if threads > 1 else 0
        self._begun: deque[tuple[NDArray[Any], int, Future[NDArray[np.float32]]]] = deque()
        # What has no final result by the windows begun; the first of it lies in the tail of the last one.
        self._waiting: NDArray[Any] | None = None
        self._tail: NDArray[np.float32] | None = None
        # The view of what came before that, so that the last window of a recording is a full one.
        self._past: NDArray[np.float32] | None = None
        self.closed = False

    def push(self, piece: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[np.float32]]]:
        """Take a piece (..., time), and yield those whose results are final."""
        self._waiting = piece if self._waiting is None else np.concatenate([self._waiting, piece], axis=-1)
        while self._waiting.shape[-1] >= self._window:
            seen = self._view(self._waiting[..., : self._window])
            if self._overlap:
                self._past = seen[..., : self._block]
            ready, self._waiting = self._waiting[..., : self._block], self._waiting[..., self._block :].copy()
            self._begin(ready, seen)
            while len(self._begun) > self._ahead:
                yield self._joined()

    def flush(self) -> Iterator[tuple[NDArray[Any], NDArray[np.float32]]]:
        """End the recording and yield what is left of it."""
        rest, self._waiting = self._waiting, None
        n_left = 0 if rest is None else rest.shape[-1]
        in_a_tail = self._past is not None and n_left == self._overlap
        if rest is not None and n_left and not in_a_tail:
            seen = self._view(rest)
            if self._past is not None:
                seen = np.concatenate([self._past[..., n_left - self._window :], seen], axis=-1)
            self._begin(rest, seen, seen.shape[-1] - n_left)
        while self._begun:
            yield self._joined()
        if rest is not None and self._tail is not None and in_a_tail:
            yield rest, self._tail

    def close(self) -> None:
        """Drop the windows that were begun; returns when none is worked on any more. `divide` may look at `closed`."""
        self.closed = True
        while self._begun:
            *_, divided = self._begun.popleft()
            if not divided.cancel():
                divided.exception()

    def _begin(self, ready: NDArray[Any], seen: NDArray[np.float32], skipped: int = 0) -> None:
        """Begin a window. Of what is `seen` in it, `ready` comes after what is `skipped`."""
        begun = parallel.begun if self._ahead else parallel.done
        self._begun.append((ready, skipped, begun(self._divide, seen)))

    def _joined(self) -> tuple[NDArray[Any], NDArray[np.float32]]:
        ready, skipped, divided = self._begun.popleft()
        result = self._faded(divided.result()[..., skipped:])
        n_ready = ready.shape[-1]
        self._tail = result[..., n_ready:] if self._overlap else None
        return ready, result[..., :n_ready]

    def _faded(self, result: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fade from the last window's result into this one, over what both have."""
        if self._tail is None:
            return result
        share = np.arange(1, self._overlap + 1, dtype=np.float32) / np.float32(self._overlap + 1)
        head = self._tail * (1 - share) + result[..., : self._overlap] * share
        return np.concatenate([head, result[..., self._overlap :]], axis=-1)


class WindowedMask(Windows):
    """Spectra (channels, freq, frames) in, spectra with a separator's masks (known freq, frames) out: `Masked`."""

    def __init__(self, separator: Separator, left: str, right: str, should_stop: ShouldStop | None = None) -> None:
        def stops() -> bool:
            return self.closed or (should_stop is not None and should_stop())

        super().__init__(
            lambda V: separator.mask(V, left, right, stops),
            separator.block_frames,
            separator.overlap_frames,
            view=lambda spectrum: pooled_magnitude(spectrum[:, :N_FREQ]),
            side_by_side=getattr(separator, "side_by_side", False),
        )
