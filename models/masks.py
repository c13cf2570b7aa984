"""Masks: which share of each time-frequency point belongs to which player.

A mask is given as the *left* player's share, (freq, frames) float32 in 0..1; the right player's is one
minus it. So the two always sum to one and left + right = mix holds by construction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EVEN_SHARE = 0.5  # where neither player is heard
_TOP_ROWS = 96  # rows (about 1 kHz) whose mean share stands for everything above the bases' range


def ratio_mask(V_left: NDArray[np.float32], V_right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of the left player: V_left / (V_left + V_right), one half where both are silent.

    Departs from the report, whose section 2.2.3 prints a square root over the sum: with it the shares
    do not sum to one, nor do the units agree. Linear is what its results need.

    Parameters
    ----------
    V_left, V_right : np.ndarray [shape=(freq, frames), float32, non-negative]

    Returns
    -------
    np.ndarray [shape=(freq, frames), float32, 0..1]
    """
    total = V_left + V_right
    share = np.full_like(total, EVEN_SHARE)
    np.divide(V_left, total, out=share, where=total > 0)
    # Rounding may pass 1 by one unit in the last place; a share must not.
    return np.minimum(share, np.float32(1.0), out=share)


def extend_mask(mask: NDArray[np.float32], n_freq: int) -> NDArray[np.float32]:
    """Continue a mask above the range that bases know (22.05 kHz), for recordings at higher rates.

    Each frame's share there is the mean of its topmost known rows.

    Parameters
    ----------
    mask : np.ndarray [shape=(known, frames), float32]
    n_freq : int
        Rows wanted, at least `known`.

    Returns
    -------
    np.ndarray [shape=(n_freq, frames), float32]
    """
    missing = n_freq - mask.shape[0]
    if missing <= 0:
        return mask
    top = mask[-_TOP_ROWS:].mean(axis=0, keepdims=True, dtype=np.float32)
    return np.concatenate([mask, np.repeat(top, missing, axis=0)], axis=0)
