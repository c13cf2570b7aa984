"""Sides of a cut: what a picture network says of the columns to the left and to the right of any place.

The network's last layers take the mean over places and then a linear map, which may as well come first. So one pass
over the whole frame gives its opinion of any set of columns, and sums from the left give all cuts at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.players.classes import of_the_eight, softmax

CUTS: NDArray[np.float64] = np.linspace(0.15, 0.85, 71)
"""Places where the frame may be cut, as fractions of its width."""
FLOOR = 0.01
"""Probability that is added to each instrument: what a crop that shows none of the eight says is chance."""


def sides_of_cuts(columns: NDArray[np.float32]) -> NDArray[np.float64]:
    """Say how probable each instrument is to the left and to the right of every cut.

    Parameters
    ----------
    columns : np.ndarray [shape=(columns, 1000), float32]
        Class scores, mean over the rows of the maps.

    Returns
    -------
    np.ndarray [shape=(cuts, 2, 8), float64, 0..1]
        As of a crop: softmax over all classes, the eight picked out.
    """
    count = len(columns)
    sums = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns.astype(np.float64), axis=0)])
    at = CUTS * count
    whole = np.minimum(at.astype(int), count - 1)
    # Of the column that is cut, its share.
    left = sums[whole] + (at - whole)[:, None] * (sums[whole + 1] - sums[whole])
    scores = np.stack([left / at[:, None], (sums[-1] - left) / (count - at)[:, None]], axis=1)
    return of_the_eight(softmax(scores))


def log_shares(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log-probabilities (..., 8) given that it is one of the eight; near uniform where none is seen."""
    raised = probabilities + FLOOR
    shares: NDArray[np.float64] = np.log(raised / raised.sum(axis=-1, keepdims=True))
    return shares


def pairs_at_cuts(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log-probabilities (cuts, 8, 8), left by right, of two different instruments from those of the sides
    (cuts, 2, 8); of one instrument on both sides -inf."""
    both = sides[:, 0, :, None] + sides[:, 1, None, :]
    diagonal = np.arange(both.shape[1])
    both[:, diagonal, diagonal] = -np.inf
    return both


def best_cut(sides: NDArray[np.float64], seams: NDArray[np.float32]) -> int:
    """Return which cut tells two different instruments apart best, given where there are seams.

    Parameters
    ----------
    sides : np.ndarray [shape=(cuts, 2, 8), float64]
        Mean :func:`log_shares` of the frames of a shot.
    seams : np.ndarray [shape=(BINS,), float32, 0..1]
        The shot's :func:`models.players.seams.seam_profile`.
    """
    both = pairs_at_cuts(sides)
    return int((both.max(axis=(1, 2)) + log_odds_of_cuts(seams)).argmax())


def log_odds_of_cuts(seams: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how much more likely (cuts, nats) the players part at a cut for the edge that is there, given the shot's
    :func:`models.players.seams.seam_profile`: up to 40 times, where it goes through all rows."""
    share = seams[np.minimum((CUTS * len(seams)).astype(int), len(seams) - 1)].astype(np.float64)
    odds: NDArray[np.float64] = np.log1p(60.0 * np.clip(share - 0.25, 0.0, None) ** 1.5)
    return odds
