"""Panning: where in the stereo image a sound lies, told by levels, and whether two places stand out.

A position is 2/π · atan2(|right|, |left|) of one point of the spectrum: 0 all in the left channel, 0.5 in the
middle, 1 all in the right. Where one player is much louder than the other, as in most points, it is that player's.
So two players who sit apart make two peaks in the histogram of positions (Yilmaz and Rickard 2004, *Blind separation
of speech mixtures via time-frequency masking*). Phases are left out: between spaced microphones they say something
else in every row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import PlayersAlike, Stopped
from models.nmf import ShouldStop
from models.stft import StreamingSTFT

MOST_SECONDS = 120.0  # of a recording that are listened to for positions
_BINS = 100
_BLUR = 2.0  # bins
_FAINT = 1e-3  # of the loudest point so far
_LEAST_DISTANCE = 0.12  # between two players: about that of a pan to 55 and to 45 of 100
_DEEPEST = 0.45  # of the lower peak, that the valley between two may have
_LEAST_SHARE = 0.05  # of what sounds, that lies on a player's side of the valley
_SILENCE = 1e-12


@dataclass(frozen=True, slots=True)
class Positions:
    """Where two players are in the stereo image, 0 to 1, the left one first."""

    left: float
    right: float


def find_positions(
    blocks: Iterable[NDArray[np.float32]], sample_rate: int, channels: int, should_stop: ShouldStop | None = None
) -> Positions:
    """Find the two places of a recording's stereo image from which it sounds.

    Parameters
    ----------
    blocks : iterable of np.ndarray [shape=(channels, samples), float32, full scale 1.0]
        Read no further than :data:`MOST_SECONDS`.
    sample_rate : int [Hz]
    channels : int
    should_stop : callable, optional

    Raises
    ------
    PlayersAlike
        If there are not two that stand out; the message says why.
    InvalidAudio
        See :func:`models.stft.stft`.
    Stopped
        If `should_stop` returned true.
    """
    if channels != 2:
        raise PlayersAlike("the recording is mono" if channels == 1 else f"it has {channels} channels, not two")
    transform = StreamingSTFT(sample_rate, channels)
    image = StereoImage()
    left = round(MOST_SECONDS * sample_rate)
    for block in blocks:
        for spectrum in transform.push(block[:, :left]):
            image.add(spectrum)
        left -= block.shape[1]
        if should_stop is not None and should_stop():
            raise Stopped("the search for positions was stopped")
        if left <= 0:
            break
    for spectrum in transform.flush():
        image.add(spectrum)
    found = image.positions()
    if found is None:
        raise PlayersAlike(
            "both channels of the recording hold the same"
            if image.narrow
            else "no two places stand out in the recording's stereo image"
        )
    return found


class StereoImage:
    """The histogram of a recording's positions, gathered block by block."""

    def __init__(self) -> None:
        self._histogram = np.zeros(_BINS)
        self._loudest = _SILENCE

    def add(self, spectrum: NDArray[np.complex64]) -> None:
        """Take a spectrum (2, freq, frames)."""
        levels = np.abs(spectrum)
        weights = np.hypot(levels[0], levels[1])
        self._loudest = max(self._loudest, float(weights.max(initial=0.0)))
        heard = weights > _FAINT * self._loudest
        places = positions_of(levels)[heard]
        self._histogram += np.histogram(places, _BINS, (0.0, 1.0), weights=weights[heard])[0]

    @property
    def narrow(self) -> bool:
        """Whether all of it lies in one place."""
        return float(self._blurred().max()) >= 0.9 * float(_kernel().max()) * float(self._histogram.sum())

    def positions(self) -> Positions | None:
        """Return the two places that stand out most; None if no two do."""
        total = float(self._histogram.sum())
        if total <= 0.0:
            return None
        blurred = self._blurred()
        rim = np.pad(blurred, 1)
        peaks = np.flatnonzero((blurred > 0.0) & (blurred >= rim[:-2]) & (blurred > rim[2:])).tolist()
        best, found = 0.0, None
        for number, one in enumerate(peaks):
            for other in peaks[number + 1 :]:
                lower = min(blurred[one], blurred[other])
                valley = one + int(blurred[one : other + 1].argmin())
                beside = float(self._histogram[:valley].sum()) / total
                if (
                    other - one >= _LEAST_DISTANCE * _BINS
                    and blurred[valley] <= _DEEPEST * lower
                    and _LEAST_SHARE <= beside <= 1.0 - _LEAST_SHARE
                    and lower - blurred[valley] > best
                ):
                    best = lower - blurred[valley]
                    found = Positions((one + 0.5) / _BINS, (other + 0.5) / _BINS)
        return found

    def _blurred(self) -> NDArray[np.float64]:
        reach = len(_kernel()) // 2
        return np.convolve(np.pad(self._histogram, reach), _kernel(), "valid")


def positions_of(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the position (freq, frames), 0..1, of each point of both channels' levels (2, freq, frames)."""
    return np.asarray(np.arctan2(levels[1], levels[0]) * np.float32(2.0 / np.pi), dtype=np.float32)


def _kernel() -> NDArray[np.float64]:
    reach = round(4 * _BLUR)
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / _BLUR))
    result: NDArray[np.float64] = weights / weights.sum()
    return result
