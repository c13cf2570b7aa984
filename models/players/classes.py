"""What the picture networks' 1,000 ImageNet classes say of instruments."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.instruments import INSTRUMENTS

# An electric guitar in the picture is one of the eight all the same: the class whose stem it should go to.
_KIN_IDS: Final = {"acoustic_guitar": (546,)}
GROUPS: Final[tuple[tuple[int, ...], ...]] = tuple(
    (one.imagenet_id, *_KIN_IDS.get(one.name, ())) for one in INSTRUMENTS
)
"""ImageNet ids that count for each of the eight."""
OTHERS: Final[dict[int, str]] = {
    420: "banjo",
    432: "bassoon",
    494: "chime",
    541: "drum",
    566: "French horn",
    577: "gong",
    579: "grand piano",
    593: "harmonica",
    594: "harp",
    641: "maraca",
    683: "oboe",
    684: "ocarina",
    687: "organ",
    699: "panpipe",
    822: "steel drum",
    875: "trombone",
    881: "upright piano",
}
"""Instruments that ImageNet knows beside the eight."""


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def of_the_eight(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pick the eight out of probabilities (..., 1000): (..., 8), kin added."""
    return np.stack([probabilities[..., list(ids)].sum(axis=-1) for ids in GROUPS], axis=-1)
