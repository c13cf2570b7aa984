"""Frequency rows seen on a logarithmic axis, where an interval is the same distance at every pitch.

A note moved up by an octave is the same picture moved up by BANDS_PER_OCTAVE, and the partials of every note lie
at the same distances from each other: what a convolution learns of one pitch holds for all.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.sparse
import torch

from models.stft import N_FFT, N_FREQ, SAMPLE_RATE

N_BANDS = 256
LOWEST_HZ, HIGHEST_HZ = 55.0, 14_000.0
BANDS_PER_OCTAVE = (N_BANDS - 1) / float(np.log2(HIGHEST_HZ / LOWEST_HZ))  # 31.9
_ROW_HZ = SAMPLE_RATE / N_FFT


def to_bands(S: torch.Tensor) -> torch.Tensor:
    """Average the rows around each band's centre: (freq, frames), freq 2,049 or less, to (N_BANDS, frames).

    Below 490 Hz bands lie closer than rows, and rows are interpolated. Bands above the last row are 0.
    """
    # Sparse, so one thread adds up each band, in one order: the same bits with any number of threads.
    bands: torch.Tensor = torch.from_numpy(_average()[:, : S.shape[0]] @ S.numpy())
    return bands


def to_rows(B: torch.Tensor, n_freq: int) -> torch.Tensor:
    """Interpolate between bands: (..., N_BANDS, frames) to (..., n_freq, frames)."""
    return torch.from_numpy(_interpolation())[:n_freq] @ B


@lru_cache(maxsize=1)
def _centres() -> np.ndarray:
    return LOWEST_HZ * 2.0 ** (np.arange(N_BANDS) / BANDS_PER_OCTAVE)


@lru_cache(maxsize=1)
def _average() -> scipy.sparse.csr_array:
    """Triangles as wide as the distance to the next band, but no narrower than a row: (bands, freq), rows sum to 1."""
    rows = np.arange(N_FREQ) * _ROW_HZ
    half_width = np.maximum(_centres() * (2.0 ** (1.0 / BANDS_PER_OCTAVE) - 1.0), _ROW_HZ)
    weights = np.maximum(0.0, 1.0 - np.abs(rows[None, :] - _centres()[:, None]) / half_width[:, None])
    return scipy.sparse.csr_array((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


@lru_cache(maxsize=1)
def _interpolation() -> np.ndarray:
    rows = np.maximum(np.arange(N_FREQ) * _ROW_HZ, 1.0)
    place = np.clip(np.log2(rows / LOWEST_HZ) * BANDS_PER_OCTAVE, 0, N_BANDS - 1)
    below = np.minimum(place.astype(np.int64), N_BANDS - 2)
    weights = np.zeros((N_FREQ, N_BANDS), np.float32)
    weights[np.arange(N_FREQ), below] = 1.0 - (place - below)
    weights[np.arange(N_FREQ), below + 1] = place - below
    return weights
