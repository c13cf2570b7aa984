"""From a mix to two stems, block by block: transform, separate, invert.

Whatever the separator does, the stems have the mix's rate, channels and exact length, and
left + right = mix: the left stem is what the separator gives, the right one is what remains. Memory does
not grow with duration.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from models.certainty import Certainty
from models.errors import Stopped
from models.left_spectra import left_spectra
from models.nmf import ShouldStop
from models.separators.protocol import AnySeparator
from models.stems import Stems
from models.stft import StreamingISTFT

Pieces = tuple[NDArray[np.float32], NDArray[np.float32]]


def separate_blocks(
    blocks: Iterable[NDArray[np.float32]],
    sample_rate: int,
    channels: int,
    separator: AnySeparator,
    left: str,
    right: str,
    should_stop: ShouldStop | None = None,
    certainty: Certainty | None = None,
) -> Iterator[Pieces]:
    """Separate a recording that arrives piece by piece.

    Parameters
    ----------
    blocks : iterable of np.ndarray [shape=(channels, samples), float32, full scale 1.0]
        Pieces of any length, in order.
    sample_rate : int [Hz]
    channels : int
    separator : Separator or SoundSeparator
    left, right : str
        Names out of :mod:`models.instruments`.
    should_stop : callable, optional
    certainty : Certainty, optional
        Told of every mask: what it says of the stems holds when all pieces are through.

    Yields
    ------
    (left, right) : tuple of np.ndarray [shape=(channels, samples), float32]
        In order; all pieces together are as long as the recording.

    Raises
    ------
    InvalidAudio
        If samples are not finite, or have another number of channels than announced.
    UnknownInstrument
        If a name is none of the eight.
    Stopped
        If `should_stop` returned true.
    """
    through = left_spectra(separator, sample_rate, channels, left, right, should_stop, certainty)
    synthesis = StreamingISTFT(sample_rate, channels)
    pending = _Pending(channels)

    def split(spectrum: NDArray[np.complex64]) -> Pieces:
        if should_stop is not None and should_stop():
            raise Stopped("the separation was stopped")
        estimate = synthesis.push(spectrum)
        mix = pending.take(estimate.shape[1])
        # The last frames reach beyond the end of the recording.
        estimate = estimate[:, : mix.shape[1]]
        return estimate, mix - estimate

    try:
        for block in blocks:
            spectra = through.push(block)
            pending.put(block)
            yield from map(split, spectra)
        yield from map(split, through.flush())
    finally:
        through.close()


def separate(
    audio: NDArray[np.float32],
    sample_rate: int,
    separator: AnySeparator,
    left: str,
    right: str,
    *,
    progress: Callable[[float], None] | None = None,
    should_stop: ShouldStop | None = None,
    certainty: Certainty | None = None,
) -> Stems:
    """Separate a whole recording in memory. Parameters and errors as :func:`separate_blocks`.

    Returns
    -------
    Stems
        (left, right), each as long as `audio`; in a notebook they show and play themselves.

    Examples
    --------
    >>> from models import get_separator, separate
    >>> stems = separate(audio, 44_100, get_separator("auto"), "violin", "trumpet")
    """
    empty = (np.empty_like(audio, dtype=np.float32), np.empty_like(audio, dtype=np.float32))
    stems = Stems(*empty, sample_rate, (left, right))
    done = 0
    for pieces in separate_blocks([audio], sample_rate, audio.shape[0], separator, left, right, should_stop, certainty):
        n_samples = pieces[0].shape[1]
        for stem, piece in zip(stems, pieces, strict=True):
            stem[:, done : done + n_samples] = piece
        done += n_samples
        if progress is not None:
            progress(done / audio.shape[1])
    return stems


class _Pending:
    """Samples of the mix that have gone into the transform and not yet come out."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._blocks: deque[NDArray[np.float32]] = deque()

    def put(self, block: NDArray[np.float32]) -> None:
        if block.shape[1]:
            self._blocks.append(np.asarray(block, dtype=np.float32))

    def take(self, n_samples: int) -> NDArray[np.float32]:
        """The next `n_samples` samples, fewer at the end of the recording."""
        taken: list[NDArray[np.float32]] = []
        while n_samples > 0 and self._blocks:
            block = self._blocks.popleft()
            if block.shape[1] > n_samples:
                self._blocks.appendleft(block[:, n_samples:])
                block = block[:, :n_samples]
            taken.append(block)
            n_samples -= block.shape[1]
        return np.concatenate(taken, axis=1) if taken else np.zeros((self._channels, 0), np.float32)
