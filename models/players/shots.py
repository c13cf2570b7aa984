"""Shots: frames that show the same view. A view that comes back after a cut is the same shot again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIZE = (12, 8)  # pixels of a thumbnail
_ANOTHER_VIEW = 0.10  # of full scale, mean difference of two thumbnails


def thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the picture at 12 x 8 pixels: (8, 12, 3) float32, 0..1."""
    small = Image.fromarray(picture).resize(_SIZE, Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / np.float32(255.0)


def shot_of(thumb: NDArray[np.float32], shots: list[NDArray[np.float32]]) -> int:
    """Return which of the shots, given by the thumbnail of a frame of each, looks the same; add one if none does."""
    differences = [float(np.abs(thumb - one).mean()) for one in shots]
    if differences and min(differences) <= _ANOTHER_VIEW:
        return int(np.argmin(differences))
    shots.append(thumb)
    return len(shots) - 1
