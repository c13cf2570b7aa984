"""Black bars around the picture: a letterbox, or a vertical video in a wide frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLACK = 24  # of 255: video black is 16, and coding leaves a little more
_BRIGHT_SHARE = 0.01  # of a black row that may be brighter: specks of coding
_MOST = 0.45  # of a side that a bar may take
_UNEVEN = 0.03  # by which two opposite bars may differ; a photo's dark background seldom lies so even


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the frame, as fractions of its width and height from the top left: 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float

    def cut(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return this part of a picture (height, width, 3), one pixel at least."""
        height, width = picture.shape[:2]
        x, y = min(round(self.left * width), width - 1), min(round(self.top * height), height - 1)
        return picture[y : max(y + 1, round(self.bottom * height)), x : max(x + 1, round(self.right * width))]

    def within(self, inner: Box) -> Box:
        """Return the box that is `inner` of this one, in the frame's fractions."""
        width, height = self.right - self.left, self.bottom - self.top
        return Box(
            self.left + inner.left * width,
            self.top + inner.top * height,
            self.left + inner.right * width,
            self.top + inner.bottom * height,
        )


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def content_box(pictures: Sequence[NDArray[np.uint8]]) -> Box:
    """Return the part of the frame that is not black bars in all the pictures.

    Parameters
    ----------
    pictures : sequence of np.ndarray [shape=(height, width, 3), uint8, RGB]
        At least one, all of one size.
    """
    bright = np.zeros(pictures[0].shape[:2], dtype=np.bool_)
    for picture in pictures:
        bright |= picture.max(axis=2) > _BLACK
    top, bottom = _inside(bright.mean(axis=1))
    left, right = _inside(bright.mean(axis=0))
    return Box(left, top, right, bottom)


def _inside(share: NDArray[np.float64]) -> tuple[float, float]:
    """Where lines brighter than black begin and end, as fractions; all of it, unless both bars are alike."""
    lines = np.flatnonzero(share > _BRIGHT_SHARE)
    if len(lines) == 0:
        return 0.0, 1.0
    before = float(lines[0]) / len(share)
    behind = 1.0 - float(lines[-1] + 1) / len(share)
    if max(before, behind) > _MOST or abs(before - behind) > _UNEVEN:
        return 0.0, 1.0
    return before, 1.0 - behind
