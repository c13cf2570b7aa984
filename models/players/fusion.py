"""Fusion: picture and sound as probabilities of ordered pairs of different instruments.

Picture and sound are taken to be independent given who plays where, every ordered pair to be as likely as any other
beforehand: so logarithms add up. The picture tells sides, the sound does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.hearing.pairs import PAIRS
from models.instruments import INSTRUMENTS

_COUNT = len(INSTRUMENTS)


def ordered_pairs(
    sides: NDArray[np.float64] | None,
    pairs: NDArray[np.float64] | None,
    named: tuple[int | None, int | None] = (None, None),
) -> NDArray[np.float64]:
    """Return how probable every ordered pair is.

    Parameters
    ----------
    sides : np.ndarray [shape=(2, 8), float64, nats], optional
        Log-probabilities of the instruments on the left and on the right, by the picture.
    pairs : np.ndarray [shape=(28,), float64, nats], optional
        Log-probabilities of pairs in any order (:data:`models.hearing.pairs.PAIRS`), by the sound.
    named : (left, right)
        Places of instruments that the user named.

    Returns
    -------
    np.ndarray [shape=(8, 8), float64, 0..1, left by right]
        Sums to 1; 0 on the diagonal.
    """
    total = np.zeros((_COUNT, _COUNT))
    if sides is not None:
        total += sides[0][:, None] + sides[1][None, :]
    if pairs is not None:
        for (one, other), value in zip(PAIRS, pairs, strict=True):
            total[one, other] += value
            total[other, one] += value
    np.fill_diagonal(total, -np.inf)
    for axis, place in enumerate(named):
        if place is not None:
            others = np.arange(_COUNT) != place
            total[(others, slice(None)) if axis == 0 else (slice(None), others)] = -np.inf
    shares = np.exp(total - total.max())
    result: NDArray[np.float64] = shares / shares.sum()
    return result


def best(pairs: NDArray[np.float64]) -> tuple[int, int]:
    """Return the most probable ordered pair (left, right) of an (8, 8) array."""
    left, right = np.unravel_index(int(pairs.argmax()), pairs.shape)
    return int(left), int(right)
