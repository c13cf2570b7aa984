"""Tagger ``cards``: before each player lies a coloured card, and its hue says what they play.

The circle of hues has an eighth for each instrument: red is the accordion, then orange the guitar, and so on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

INSTRUMENTS = 8
SIDE = 64  # pixels
VIVID = 0.4  # saturation, 0 to 1, from which a pixel may be a card's


class CardTagger:
    """Counts vivid pixels by hue."""

    def __init__(self) -> None:
        self.provenance: dict[str, Any] = {"side": SIDE, "vivid": VIVID}

    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring a picture (height, width, 3) uint8 RGB to (64, 64, 3), by leaving out rows and columns."""
        rows, columns = (np.linspace(0, n - 1, SIDE).round().astype(int) for n in picture.shape[:2])
        small: NDArray[np.uint8] = picture[rows][:, columns]
        return small

    def probabilities(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (n, 8) float32: the share of the pixels that has each instrument's hue."""
        # (n, height, width, 3) -> (3, n, pixels)
        red, green, blue = np.moveaxis(prepared.reshape(len(prepared), -1, 3) / 255.0, -1, 0)
        brightest = np.maximum(np.maximum(red, green), blue)
        darkest = np.minimum(np.minimum(red, green), blue)
        is_vivid = brightest - darkest > VIVID * np.maximum(brightest, VIVID)
        # Hue: the direction of what is not grey, with red at 0.
        hue = np.arctan2(np.sqrt(3.0) * (green - blue), 2.0 * red - green - blue)
        instrument = np.round(hue / (2 * np.pi) * INSTRUMENTS).astype(int) % INSTRUMENTS
        # (n, pixels, 8) -> (n, 8)
        is_of = (instrument[..., None] == np.arange(INSTRUMENTS)) & is_vivid[..., None]
        shares: NDArray[np.float32] = is_of.mean(axis=1, dtype=np.float32)
        return shares


def make(_surroundings: object) -> CardTagger:
    """What the entry point names."""
    return CardTagger()
