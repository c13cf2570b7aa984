"""Log-frequency spectra: what the sound network sees.

Powers of the STFT (:mod:`models.stft`) on 192 bands, 24 an octave from 60 Hz up, two frames of the transform
averaged into one of 93 ms. On this axis a transposition is a shift. A spectrum is a (frames, bands) float32 array
here, time first, as the network takes it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.stft import N_FFT, SAMPLE_RATE

BANDS = 192
BANDS_PER_OCTAVE = 24
LOWEST_HZ = 60.0
FRAMES_AVERAGED = 2  # frames of the transform
PATCH_FRAMES = 54  # 5 s, as the segments of the report
_ROW_HZ = SAMPLE_RATE / N_FFT
_FLOOR = 1e-7  # of the patch's mean power: -70 dB
_OFFSET_DB = 55.0
_SPAN_DB = 25.0


def band_powers(V: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum the powers of each band.

    Parameters
    ----------
    V : np.ndarray [shape=(freq, frames), float32]
        Magnitudes, rows 10.77 Hz wide; a recording of a lower rate has fewer rows, and nothing in the bands above.

    Returns
    -------
    np.ndarray [shape=(frames // 2, BANDS), float32]
        At least one frame where V has one.
    """
    filters = _filters(V.shape[0])
    powers = filters @ np.square(V)
    count = max(1, powers.shape[1] // FRAMES_AVERAGED) if powers.shape[1] else 0
    kept = powers[:, : count * FRAMES_AVERAGED]
    if kept.shape[1] < count * FRAMES_AVERAGED:
        averaged = kept[:, None, :].mean(axis=2)
    else:
        # (bands, frames) -> (bands, frames // 2, 2)
        averaged = kept.reshape(BANDS, count, FRAMES_AVERAGED).mean(axis=2)
    return np.ascontiguousarray(averaged.T, dtype=np.float32)


def patches(powers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut band powers into patches of 5 s, each half over the next; what is shorter is repeated to that length.

    Parameters
    ----------
    powers : np.ndarray [shape=(frames, BANDS), float32]

    Returns
    -------
    np.ndarray [shape=(n, PATCH_FRAMES, BANDS), float32]
        Powers; see :func:`as_levels` for what the network takes. Empty for an empty recording.
    """
    if len(powers) == 0:
        return np.zeros((0, PATCH_FRAMES, BANDS), np.float32)
    if len(powers) < PATCH_FRAMES:
        powers = np.resize(powers, (PATCH_FRAMES, BANDS))
    step = PATCH_FRAMES // 2
    # The last patch ends with the recording.
    starts = [*range(0, len(powers) - PATCH_FRAMES, step), len(powers) - PATCH_FRAMES]
    return np.stack([powers[start : start + PATCH_FRAMES] for start in starts])


def as_levels(powers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn powers (..., frames, BANDS) into levels of about -1 to 2, free of the patch's loudness."""
    mean = powers.sum(axis=-1).mean(axis=-1)[..., None, None]
    decibels = 10.0 * np.log10(powers / np.maximum(mean, 1e-20) + _FLOOR)
    return np.asarray(np.maximum((decibels + _OFFSET_DB) / _SPAN_DB, 0.0) - 1.0, dtype=np.float32)


@lru_cache(maxsize=4)
def _filters(n_freq: int) -> NDArray[np.float32]:
    """Triangular filters (BANDS, n_freq), at least one row wide to either side."""
    rows_hz = np.arange(n_freq) * _ROW_HZ
    centres_hz = LOWEST_HZ * 2.0 ** (np.arange(BANDS) / BANDS_PER_OCTAVE)
    widths_hz = np.maximum(centres_hz * (2.0 ** (1.0 / BANDS_PER_OCTAVE) - 1.0), _ROW_HZ)
    distance = np.abs(rows_hz[None, :] - centres_hz[:, None]) / widths_hz[:, None]
    return np.asarray(np.maximum(0.0, 1.0 - distance), dtype=np.float32)
