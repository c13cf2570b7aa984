"""From floats to integers: which levels fit, by how much others must be turned down, and rounding.

Integers of B bits reach from -1 to 1 - 2^(1-B) of full scale.

No dither, on purpose. Dither would hide the rounding error of 16 bits (98 dB below full scale) behind a noise 5 dB
above it, but it would cost what the stems promise: silence stays silence, the same job gives the same bytes,
and the stems of a 16-bit recording, each rounded, add up to that recording within one step.
Whoever goes on working with the sound takes 24 bits or floats.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from app.stem_formats import Bits

# Gains are rounded down to this, so that the document can name them exactly.
GAIN_STEP_DB = 0.01


def quantised(block: NDArray[np.float32], bits: Bits) -> NDArray[np.int32]:
    """Return the nearest integers of so many bits.

    Parameters
    ----------
    block : np.ndarray [shape=any, float32]
        Full scale is 1.0.
    bits : 16 or 24

    Returns
    -------
    np.ndarray [same shape, int32]
        From -2^(bits-1) to 2^(bits-1) - 1.

    Raises
    ------
    ValueError
        If a value does not fit: `fitting_gain_db` tells what to do before.
    """
    # A power of two: exact in float32.
    steps: NDArray[np.float32] = np.rint(block * np.float32(1 << (bits - 1)))
    # Before the conversion, which would wrap around.
    if steps.size and not _fits(float(steps.min()), float(steps.max()), bits):
        raise ValueError(f"samples beyond full scale do not fit into {bits} bits")
    return steps.astype(np.int32)


def fitting_gain_db(lowest: float, highest: float, bits: Bits | None) -> float:
    """Return the gain in dB, 0 or negative, with which samples from `lowest` to `highest` fit.

    `bits` None is for mp3, which has no integers but players that make some: from -1 to 1 fits.
    """
    floor, ceiling = -1.0, 1.0
    if bits is not None:
        steps = 1 << (bits - 1)
        if _fits(round(lowest * steps), round(highest * steps), bits):
            return 0.0
        ceiling = (steps - 1) / steps
    room = min(
        1.0 if highest <= ceiling else ceiling / highest,
        1.0 if lowest >= floor else floor / lowest,
    )
    return round(math.floor(20.0 * math.log10(room) / GAIN_STEP_DB) * GAIN_STEP_DB, 2) if room < 1.0 else 0.0


def _fits(lowest: float, highest: float, bits: Bits) -> bool:
    half = 1 << (bits - 1)
    return -half <= lowest and highest <= half - 1
