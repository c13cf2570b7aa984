"""Which frames are looked at, as the report chooses them, and what a frame is.

Report section 2.3.1: frames at 2.4 per second; of those, 200 spaced evenly over the clip (all, if
fewer).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 2.4
MOST_FRAMES = 200
_FIRST_ROUND = 4
# Long side of the frames that are handed on: the networks look at 224 to 260 pixels of a quarter.
MAX_SIDE_PX = 1280

Image = NDArray[np.uint8]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """A picture and when it is shown.

    Attributes
    ----------
    time_s : float
        Seconds from the origin that the sound shares.
    image : np.ndarray [shape=(height, width, 3), uint8]
        RGB, upright, square pixels, at most `MAX_SIDE_PX` on the long side.
    """

    time_s: float
    image: Image


def picked(n: int, most: int) -> list[int]:
    """Return the indices of at most `most` of `n` things, spaced evenly, the first and the last included.

    Raises
    ------
    ValueError
        If `most` is less than 1.
    """
    if most < 1:
        raise ValueError(f"at least one must be picked, got most={most}")
    if n <= most:
        return list(range(n))
    if most == 1:
        return [n // 2]
    # Rounded to the nearest, in whole numbers.
    return [(2 * i * (n - 1) + most - 1) // (2 * (most - 1)) for i in range(most)]


def halving(n: int) -> list[list[int]]:
    """Return the indices of `n` things in rounds: at most 4 spread over all of them, then those that halve the gaps,
    and so on. Each round rises, and there are about as many in it as in all before.

    Raises
    ------
    ValueError
        If `n` is less than 1.
    """
    if n < 1:
        raise ValueError(f"there must be one thing at least, got n={n}")
    step = 1
    while n > _FIRST_ROUND * step:
        step *= 2
    rounds = [list(range(0, n, step))]
    while step > 1:
        rounds.append(list(range(step // 2, n, step)))
        step //= 2
    return rounds


def shrunk(width: int, height: int) -> tuple[int, int]:
    """Return width and height scaled so that the longer is at most `MAX_SIDE_PX`, each at least 1."""
    scale = min(1.0, MAX_SIDE_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
