"""Frequency rows merged into bands: every row below 3 kHz, then ever wider sums of rows.

Spectra of notes differ by where their partials lie, and above 3 kHz partials are further apart than a
row: sums of a few rows tell as much (same SDR to 0.01 dB) in a quarter of the arithmetic.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from models.stft import N_FREQ

SOLVER_ROWS = 280  # rows kept as they are, below 3 kHz
SOLVER_GROWTH = 0.012  # how much wider a band is than the one before it, in rows a row
COVERAGE_ROWS = 60  # rows kept as they are when spectra are compared: 650 Hz
COVERAGE_GROWTH = 0.02
_CORNER_ROWS = 12  # about 130 Hz: below it, the equaliser's bands grow no narrower


@lru_cache(maxsize=4)
def band_starts(rows: int, growth: float) -> NDArray[np.int64]:
    """Return the first row of every band, rising from 0.

    Parameters
    ----------
    rows : int
        Bands of one row at the bottom.
    growth : float
        From there on, a band that begins at row r has 1 + growth * (r - rows) rows.
    """
    starts = list(range(rows))
    edge = float(rows)
    while edge < N_FREQ:
        starts.append(int(edge))
        edge += max(1.0, 1.0 + growth * (edge - rows))
    return np.unique(np.asarray(starts, dtype=np.int64))


def merge_rows(S: NDArray[np.float32], rows: int = SOLVER_ROWS, growth: float = SOLVER_GROWTH) -> NDArray[np.float32]:
    """Sum the rows of each band.

    Parameters
    ----------
    S : np.ndarray [shape=(freq, n), float32]
        freq is 2,049 or less; bands above it are left out.

    Returns
    -------
    np.ndarray [shape=(bands, n), float32]
    """
    starts = band_starts(rows, growth)
    merged: NDArray[np.float32] = np.add.reduceat(S, starts[starts < S.shape[0]], axis=0, dtype=np.float32)
    return merged


def spread_bands(B: torch.Tensor, n_freq: int) -> torch.Tensor:
    """Give every row its band's value: (bands, n) to (n_freq, n), the transpose of :func:`merge_rows`."""
    starts = band_starts(SOLVER_ROWS, SOLVER_GROWTH)
    starts = starts[starts < n_freq]
    lengths = np.diff(starts, append=n_freq)
    return torch.repeat_interleave(B, torch.from_numpy(lengths).to(B.device), dim=0, output_size=n_freq)


@lru_cache(maxsize=4)
def equaliser(n_points: int) -> NDArray[np.float32]:
    """Return overlapping triangles on a logarithmic frequency axis, which sum to one in every row.

    A weighted sum of them is a smooth curve: the response of a room, a microphone, an instrument's body.

    Returns
    -------
    np.ndarray [shape=(freq, n_points), float32, 0..1]
    """
    place = np.log(np.arange(N_FREQ) + _CORNER_ROWS)
    points = np.linspace(place[0], place[-1], n_points)
    # (freq,) and (n_points,) -> (freq, n_points)
    distance = np.abs(place[:, None] - points[None, :]) / (points[1] - points[0])
    triangles: NDArray[np.float32] = np.maximum(0.0, 1.0 - distance).astype(np.float32)
    return triangles
