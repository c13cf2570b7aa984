"""Unequal duets: the same two players, mixed anew with one of them quieter. What becomes of that one?

Loudness is the root mean square over the whole recording. In the mix the quieter player is so many dB below the other,
whatever the two were before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.metrics import is_silent, sdr
from models.separation import separate
from models.separators.protocol import AnySeparator

QuieterSides = tuple[float | None, float | None]
"""SDR in dB of the left player where he is the quieter one, and of the right player; None for a silent stem."""


def quieter_mix(references: NDArray[np.float32], side: int, below_db: float) -> NDArray[np.float32]:
    """Mix two players so that one is `below_db` quieter than the other, who is as loud as before.

    Parameters
    ----------
    references : np.ndarray [shape=(2, samples), float32, full scale 1.0]
        Left, right; neither is silent.
    side : int
        0 where the left player is to be the quieter one, 1 for the right one.

    Returns
    -------
    np.ndarray [shape=(1, samples), float32]
    """
    quiet, loud = references[side], references[1 - side]
    gain = 10 ** (-below_db / 20) * np.sqrt(np.square(loud).sum() / np.square(quiet).sum())
    return np.asarray(loud + np.float32(gain) * quiet, dtype=np.float32)[None]


def quieter_sdr(
    references: NDArray[np.float32], sample_rate: int, separator: AnySeparator, labels: tuple[str, str], below_db: float
) -> QuieterSides:
    """Separate both mixes of :func:`quieter_mix`, and measure the quieter player's stem in each.

    Raises
    ------
    ModelsError
        See :func:`models.separation.separate`.
    """
    found: list[float | None] = []
    for side in (0, 1):
        stems = separate(quieter_mix(references, side, below_db), sample_rate, separator, *labels)
        # SDR knows no gain: the player as he was is as good a reference as the quieter one.
        found.append(None if is_silent(stems[side]) else float(sdr(references[[side]], stems[side])[0]))
    return found[0], found[1]
