"""Blocks: sound that comes in pieces of any length, given on in blocks of one length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


def in_blocks(pieces: Iterable[Samples], size: int) -> Iterator[Samples]:
    """Yield the sound of `pieces` in blocks of `size` samples, the last with what is left.

    Parameters
    ----------
    pieces : iterable of np.ndarray [shape=(channels, samples), float32]
    size : int
        Samples in a block, 1 or more.

    Yields
    ------
    np.ndarray [shape=(channels, size), float32]
    """
    held: list[Samples] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += piece.shape[1]
        if count < size:
            continue
        joined = np.concatenate(held, axis=1)
        whole = count - count % size
        for start in range(0, whole, size):
            # A copy, so that a small block does not keep a large one alive.
            yield joined[:, start : start + size].copy()
        held, count = [joined[:, whole:]], count - whole
    if count:
        yield np.concatenate(held, axis=1)
