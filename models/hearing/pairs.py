"""Pairs of different instruments: 28, in the order of the upper triangle of an 8 x 8 matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.instruments import INSTRUMENTS

_FIRST, _SECOND = np.triu_indices(len(INSTRUMENTS), k=1)
PAIRS: tuple[tuple[int, int], ...] = tuple(zip(_FIRST.tolist(), _SECOND.tolist(), strict=True))


def pair_log_probabilities(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-probability of every pair, given that exactly two of eight sound, independently but for that.

    Parameters
    ----------
    log_odds : np.ndarray [shape=(8,), float64]

    Returns
    -------
    np.ndarray [shape=(28,), float64, nats]
    """
    both = log_odds[_FIRST] + log_odds[_SECOND]
    highest = both.max()
    result: NDArray[np.float64] = both - highest - np.log(np.exp(both - highest).sum())
    return result


def place_of_pair(one: int, other: int) -> int:
    """Return where the pair of two different instruments stands in :data:`PAIRS`, in whichever order they are given."""
    return PAIRS.index((min(one, other), max(one, other)))
