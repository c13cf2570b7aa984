"""The left player's spectra out of the mix's sound: by a mask of magnitudes, or by a separator's own sound.

Either way pieces of the mix go in and (channels, freq, frames) complex64 come out, in order, as many frames as the
mix's transform has, in memory that does not grow with the recording.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.certainty import Certainty
from models.masks import extend_mask, ratio_mask
from models.nmf import ShouldStop
from models.resampling import FLAT_TO, Resampler
from models.separators.protocol import AnySeparator, Separator, SoundSeparator
from models.stft import StreamingSTFT, geometry
from models.windows import Masked, WindowedMask, Windows

Spectra = Iterator[NDArray[np.complex64]]


class LeftSpectra(Protocol):
    """A recording that arrives piece by piece, on its way through a separator."""

    def push(self, block: NDArray[np.float32]) -> Spectra:
        """Take samples of the mix, (channels, samples), and return the left player's spectra that they complete.

        Raises
        ------
        InvalidAudio
            See :meth:`models.stft.StreamingSTFT.push`; at once.
        """

    def flush(self) -> Spectra:
        """End the recording and return the rest."""

    def close(self) -> None:
        """Stop working on it, wherever it is."""


def left_spectra(
    separator: AnySeparator,
    sample_rate: int,
    channels: int,
    left: str,
    right: str,
    should_stop: ShouldStop | None,
    certainty: Certainty | None = None,
) -> LeftSpectra:
    """Return the way through a separator of either kind. `certainty` is told of masks, if there are any."""
    if isinstance(separator, SoundSeparator):
        return SoundSpectra(separator, sample_rate, channels, left, right, should_stop)
    return MaskedSpectra(separator, sample_rate, channels, left, right, should_stop, certainty)


class MaskedSpectra:
    """By the share that a separator gives each point of the mix's spectrum."""

    def __init__(
        self,
        separator: Separator,
        sample_rate: int,
        channels: int,
        left: str,
        right: str,
        should_stop: ShouldStop | None = None,
        certainty: Certainty | None = None,
    ) -> None:
        self._certainty = certainty
        self._analysis = StreamingSTFT(sample_rate, channels)
        self._windows = WindowedMask(separator, left, right, should_stop)

    def push(self, block: NDArray[np.float32]) -> Spectra:
        """See :meth:`LeftSpectra.push`."""
        return self._pushed(self._analysis.push(block))

    def flush(self) -> Spectra:
        """See :meth:`LeftSpectra.flush`."""
        yield from self._pushed(self._analysis.flush())
        yield from self._masked(self._windows.flush())

    def close(self) -> None:
        """See :meth:`LeftSpectra.close`."""
        self._windows.close()

    def _pushed(self, spectra: Iterable[NDArray[np.complex64]]) -> Spectra:
        for spectrum in spectra:
            yield from self._masked(self._windows.push(spectrum))

    def _masked(self, pieces: Iterable[Masked]) -> Spectra:
        for spectrum, mask in pieces:
            if self._certainty is not None:
                self._certainty.add(spectrum, mask)
            yield spectrum * extend_mask(mask, spectrum.shape[1])


class SoundSpectra:
    """By the sound that a separator makes at a rate of its own.

    What that rate cannot hold of the recording, its upper rows, is shared as the topmost rows are that it can.
    """

    def __init__(
        self,
        separator: SoundSeparator,
        sample_rate: int,
        channels: int,
        left: str,
        right: str,
        should_stop: ShouldStop | None = None,
    ) -> None:
        rate = separator.sample_rate
        self._mix, self._left = (StreamingSTFT(sample_rate, channels) for _ in range(2))
        self._there = Resampler(channels, sample_rate, rate)
        self._back = Resampler(channels, rate, sample_rate)
        self._length = separator.block_samples + separator.overlap_samples
        self._windows = Windows(
            lambda window: separator.stem(self._filled(window), left, right, should_stop)[:, : window.shape[1]],
            separator.block_samples,
            separator.overlap_samples,
        )
        size = geometry(sample_rate)
        limit = FLAT_TO * min(sample_rate, rate) / 2 if rate != sample_rate else sample_rate / 2
        self._known = min(size.n_freq, int(limit * size.n_fft / sample_rate) + 1)
        # Spectra of the mix whose left ones are not known yet.
        self._waiting: deque[NDArray[np.complex64]] = deque()
        self._taken = 0
        self._given = 0

    def push(self, block: NDArray[np.float32]) -> Spectra:
        """See :meth:`LeftSpectra.push`."""
        self._waiting.extend(self._mix.push(block))
        self._taken += block.shape[1]
        return self._pushed(self._there.push(block))

    def flush(self) -> Spectra:
        """See :meth:`LeftSpectra.flush`."""
        self._waiting.extend(self._mix.flush())
        yield from self._pushed(self._there.flush())
        rest = np.concatenate(
            [*(self._back.push(stem) for _, stem in self._windows.flush()), self._back.flush()], axis=1
        )
        # There and back again, rounded twice: a sample more or less.
        missing = self._taken - self._given
        rest = np.pad(rest[:, :missing], ((0, 0), (0, max(0, missing - rest.shape[1]))))
        yield from self._joined(self._left.push(rest))
        yield from self._joined(self._left.flush())

    def close(self) -> None:
        """See :meth:`LeftSpectra.close`."""
        self._windows.close()

    def _pushed(self, sound: NDArray[np.float32]) -> Spectra:
        for _, stem in self._windows.push(sound):
            back = self._back.push(stem)
            self._given += back.shape[1]
            yield from self._joined(self._left.push(back))

    def _filled(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.pad(window, ((0, 0), (0, self._length - window.shape[1])))

    def _joined(self, spectra: Iterable[NDArray[np.complex64]]) -> Spectra:
        for left in spectra:
            mix = self._waiting.popleft()
            known = self._known
            if known < mix.shape[1]:
                rest = np.abs(mix[:, :known] - left[:, :known])
                for channel, share in enumerate(map(ratio_mask, np.abs(left[:, :known]), rest)):
                    left[channel, known:] = mix[channel, known:] * extend_mask(share, mix.shape[1])[known:]
            yield left
