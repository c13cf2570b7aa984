"""Seams: straight upright edges that stay where they are, as between two pictures put side by side.

Edges inside a picture move with what is filmed, slant, or end; a seam goes from top to bottom, in every frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 200  # across the width
_ROWS = 180  # looked at, spread over the height
_STEP = 12  # of 255, across an edge
_PLAIN = 3  # of 255: no edge at all
_BLANK_WEIGHT = 0.5  # of rows without any edge that speak neither for a seam nor against it
_STANDS_OUT = 2.0  # times the edges beside it
_BESIDE = (*range(-10, -2), *range(3, 11))  # pixels


def seam_profile(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Say of each place across the width in what share of rows there is an edge that stands out.

    Parameters
    ----------
    picture : np.ndarray [shape=(height, width, 3), uint8, RGB]

    Returns
    -------
    np.ndarray [shape=(BINS,), float32, 0..1]
        The highest of the bin and of its neighbours. Of several frames of a shot, take the lowest.
    """
    height, width = picture.shape[:2]
    if width < 4 * _BESIDE[-1]:
        return np.zeros(BINS, np.float32)
    rows = picture[np.linspace(0, height - 1, min(height, _ROWS)).round().astype(int)].astype(np.int16)
    steps = np.zeros(rows.shape[:2], np.float32)
    steps[:, 1:-1] = np.abs(rows[:, 2:] - rows[:, :-2]).max(axis=2)
    sums = np.cumsum(np.pad(steps, ((0, 0), (1, 0))), axis=1)
    reach, gap = _BESIDE[-1], 2
    at = np.arange(reach, width - reach)
    # Sum of the steps around, without those of the edge itself.
    around = sums[:, at + reach + 1] - sums[:, at - reach] - (sums[:, at + gap + 1] - sums[:, at - gap])
    edge = steps[:, at]
    share = np.zeros(width, np.float32)
    seen = ((edge > _STEP) & (edge > _STANDS_OUT * around / len(_BESIDE))).mean(axis=0)
    # Where one plain colour meets the same, as black meets black, no seam can be seen.
    blank = ((edge <= _PLAIN) & (around <= _PLAIN * len(_BESIDE))).mean(axis=0)
    share[at] = seen / (1.0 - _BLANK_WEIGHT * blank)
    profile = np.zeros(BINS, np.float32)
    np.maximum.at(profile, np.arange(width) * BINS // width, share)
    wide = np.pad(profile, 1)
    return np.maximum(np.maximum(wide[:-2], wide[1:-1]), wide[2:])
