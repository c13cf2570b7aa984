"""Clips for training tests that need no sound: magnitudes and shares as numbers, in the form of the cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.log_bands import N_BANDS
from models.refiner import N_FEATURES, REFINED_ROWS
from models.training.clips import CHUNK, Clips

Parts = tuple[NDArray[np.float32], ...]
"""A clip's magnitude, guided share and ideal share: (REFINED_ROWS, frames) each."""


def clips_of(parts: list[Parts], seed: int = 0) -> Clips:
    """Clips of these parts with features at random, in chunks as :mod:`models.training.clips` has them."""
    rng = np.random.default_rng(seed)
    frames = parts[0][0].shape[1]
    rows = np.stack(
        [np.concatenate([rng.uniform(-1, 1, (N_FEATURES * N_BANDS, frames)), *linear]) for linear in parts]
    ).astype(np.float16)
    labels = np.stack([rng.permutation(8)[:2] for _ in parts]).astype(np.int64)
    return Clips(tuple(rows[first : first + CHUNK] for first in range(0, len(rows), CHUNK)), labels)


def random_clips(count: int, frames: int = 4, seed: int = 0) -> Clips:
    """Clips whose guided share is the ideal one with an error."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(count):
        V = rng.random((REFINED_ROWS, frames)) ** 4
        ideal = rng.random((REFINED_ROWS, frames)).round()
        guided = np.clip(ideal + 0.3 * rng.standard_normal(ideal.shape), 0.05, 0.95)
        parts.append((V / V.max(), guided, ideal))
    return clips_of(parts, seed)
