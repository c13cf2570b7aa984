"""Trios: whether a frame shows three players side by side, where it is cut twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.instruments import INSTRUMENTS, index_of
from models.players.classes import of_the_eight, softmax

_FIRST = np.array([0.2, 0.25, 0.3, 0.33, 0.36, 0.4, 0.45])
_SECOND = np.array([0.5, 0.55, 0.6, 0.64, 0.67, 0.7, 0.75, 0.8])
_NARROWEST = 0.2  # of the width
_ALIKE = (index_of("violin"), index_of("cello"))  # which the networks take for each other from one column to the next


@dataclass(frozen=True, slots=True)
class Trio:
    """The three that are most seen side by side: their places among the eight from left to right, and how probable
    the least probable of them is, 0..1."""

    places: tuple[int, int, int]
    probability: float


def best_trio(looks: list[NDArray[np.float32]]) -> Trio:
    """Return the trio that the frames of one shot show most; neighbours in it differ.

    Parameters
    ----------
    looks : list of np.ndarray [shape=(columns, 1000), float32]
        Class scores of each frame, at least one.
    """
    parts = [np.mean(part, axis=0) for part in zip(*map(_parts, looks), strict=True)]
    left, middle, right = parts
    best = Trio((0, 1, 0), 0.0)
    for one, first in enumerate(_FIRST):
        for other, second in enumerate(_SECOND):
            if second - first < _NARROWEST - 1e-9:
                continue
            for place in range(len(INSTRUMENTS)):
                beside = [_other_than(place, side) for side in (left[one], right[other])]
                least = min(middle[one, other, place], *(float(side.max()) for side in beside))
                if least > best.probability:
                    best = Trio((int(beside[0].argmax()), place, int(beside[1].argmax())), float(least))
    return best


def _other_than(place: int, side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of a side's instruments (8), 0 of the one in the middle, and of what is easily taken for it."""
    kept: NDArray[np.float64] = side.copy()
    kept[list(_ALIKE) if place in _ALIKE else place] = 0.0
    return kept


def _parts(columns: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities of the eight left of each first cut (7, 8), between (7, 8 cuts, 8), right of the second (8, 8)."""
    count = len(columns)
    sums = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns.astype(np.float64), axis=0)])

    def up_to(cuts: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.minimum((cuts * count).astype(int), count - 1)
        result: NDArray[np.float64] = sums[whole] + (cuts * count - whole)[:, None] * (sums[whole + 1] - sums[whole])
        return result

    first, second = up_to(_FIRST), up_to(_SECOND)
    scores = (
        first / (_FIRST * count)[:, None],
        (second[None] - first[:, None]) / ((_SECOND[None] - _FIRST[:, None]) * count)[..., None],
        (sums[-1] - second) / ((1.0 - _SECOND) * count)[:, None],
    )
    left, middle, right = (of_the_eight(softmax(one)) for one in scores)
    return left, middle, right
