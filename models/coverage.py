"""Choosing spectra by relevance, then coverage: what guided NMF at its best is given as bases.

The report keeps the single most telling basis of each segment; those resemble each other, and notes
that none of them sounds like are lost to the other player. Here the candidates are spectra of single
frames. The MIML network first drops those that it takes for another instrument; the rest of each class are
grouped by likeness (spherical k-means), and the most typical spectrum of every group is kept. So each
pitch, register and colour that was heard has a spectrum near it, and none has many.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.bands import COVERAGE_GROWTH, COVERAGE_ROWS, merge_rows
from models.miml import MIML

COVERING_PER_CLASS = 800
RELEVANCE_MARGIN = -0.5
"""A candidate is dropped when another class's relevance exceeds its own class's by more than minus this."""
_COMPRESSION = 0.5  # exponent of magnitudes before they are compared: quiet partials count too
_ROUNDS = 8  # of k-means; by then few spectra change their group
_AT_ONCE = 4096


def relevance(network: MIML, S: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the class relevance X of single spectra by a trained network.

    The network looks at each instance by itself, so a spectrum needs no segment around it.

    Parameters
    ----------
    S : np.ndarray [shape=(freq, n), float32, non-negative]

    Returns
    -------
    np.ndarray [shape=(8, n), float32]
    """
    unit = S / np.maximum(np.linalg.norm(S, axis=0), np.finfo(np.float32).tiny)
    with torch.inference_mode():
        # (freq, n) -> (1, freq, n): one segment whose instances are the spectra
        parts = [
            network(torch.from_numpy(np.ascontiguousarray(unit[None, :, start : start + _AT_ONCE])))[0][0]
            for start in range(0, S.shape[1], _AT_ONCE)
        ]
    return np.asarray(torch.cat(parts, dim=1).numpy(), dtype=np.float32)


def relevant(X: NDArray[np.float32], label: int, margin: float = RELEVANCE_MARGIN) -> NDArray[np.bool_]:
    """Which candidates of class `label` the network leaves it: those whose own relevance is at least the
    highest of any other class plus `margin`.

    Parameters
    ----------
    X : np.ndarray [shape=(8, n), float32]

    Returns
    -------
    np.ndarray [shape=(n,), bool]
    """
    own: NDArray[np.bool_] = X[label] >= np.delete(X, label, axis=0).max(axis=0) + margin
    return own


def cover(S: NDArray[np.float32], keep: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose `keep` spectra so that every spectrum has one like it among them.

    Parameters
    ----------
    S : np.ndarray [shape=(freq, n), float32, non-negative]
    keep : int
        Fewer come back where groups run empty, all where n is no larger.
    seed : int
        Of the random start; equal seeds give equal choices.

    Returns
    -------
    np.ndarray [shape=(kept,), int64]
        Columns of S: first those that stand for the largest groups.
    """
    n = S.shape[1]
    if n == 0:
        return np.zeros(0, np.int64)
    features = _features(S)
    start = np.random.default_rng(seed).choice(n, min(keep, n), replace=False)
    centres = features[torch.from_numpy(start)]
    for _ in range(_ROUNDS):
        group = (features @ centres.T).argmax(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, group, features)
        filled = (sums.norm(dim=1) > 0)[:, None]
        centres = torch.nn.functional.normalize(torch.where(filled, sums, centres), dim=1)
    likeness, group = (features @ centres.T).max(dim=1)
    chosen = []
    for number in range(len(centres)):
        members = torch.nonzero(group == number)[:, 0]
        if len(members):
            chosen.append((-len(members), int(members[likeness[members].argmax()])))
    return np.array([column for _, column in sorted(chosen)], dtype=np.int64)


def select_covering(
    S: NDArray[np.float32], X: NDArray[np.float32], label: int, keep: int = COVERING_PER_CLASS, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Choose the bases of one class: relevance first, then coverage.

    Parameters
    ----------
    S : np.ndarray [shape=(freq, n), float32, non-negative]
        Candidates, all of the class.
    X : np.ndarray [shape=(8, n), float32]
        Their relevance by :func:`relevance`.
    label : int
        The class.

    Returns
    -------
    columns : np.ndarray [shape=(freq, kept), float32, unit Euclidean norm]
    scores : np.ndarray [shape=(kept,), float32]
        The relevance of each for its class. Both are empty where the network takes every candidate for
        another class.
    """
    left = np.flatnonzero(relevant(X, label))
    kept = left[cover(S[:, left], keep, seed)]
    columns = S[:, kept] / np.linalg.norm(S[:, kept], axis=0)
    return np.ascontiguousarray(columns, dtype=np.float32), X[label, kept].astype(np.float32)


def _features(S: NDArray[np.float32]) -> torch.Tensor:
    """What spectra are compared by: (freq, n) to (n, bands), rows of unit Euclidean norm."""
    compressed = torch.from_numpy(merge_rows(S, COVERAGE_ROWS, COVERAGE_GROWTH)).pow(_COMPRESSION)
    widths = torch.from_numpy(merge_rows(np.ones((S.shape[0], 1), np.float32), COVERAGE_ROWS, COVERAGE_GROWTH))
    # Wide bands sum many rows, and would outweigh the narrow ones.
    return torch.nn.functional.normalize((compressed / widths.pow(_COMPRESSION / 2)).T, dim=1).contiguous()
