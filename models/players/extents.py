"""Extents: how much of the frame a player's instrument takes up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.players.bars import Box

_SHARE = 0.5  # of the way from the lowest score on the side to the highest


def extent(scores: NDArray[np.float32], begin: float, end: float) -> Box:
    """Return the box around the places of one side that score at least half as high as its best.

    Parameters
    ----------
    scores : np.ndarray [shape=(rows, columns), float32]
        The instrument's class activation map.
    begin, end : float
        The side, as fractions of the width.
    """
    rows, columns = scores.shape
    middles = (np.arange(columns) + 0.5) / columns
    mine = (middles >= begin) & (middles <= end)
    if not mine.any():
        return Box(begin, 0.0, end, 1.0)
    side = scores[:, mine]
    high = side >= side.min() + _SHARE * (side.max() - side.min())
    across = np.flatnonzero(high.any(axis=0)) + int(np.flatnonzero(mine)[0])
    down = np.flatnonzero(high.any(axis=1))
    return Box(
        left=max(begin, float(across[0]) / columns),
        top=float(down[0]) / rows,
        right=min(end, float(across[-1] + 1) / columns),
        bottom=float(down[-1] + 1) / rows,
    )
