"""Exemplars: spectra of single frames of the solos, from which :mod:`models.coverage` chooses bases.

Frames come from attacks, sustains and decays alike: all that sound are candidates, some of them are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bases import BasesBank
from models.coverage import RELEVANCE_MARGIN, relevance, select_covering
from models.instruments import INSTRUMENTS, NAMES
from models.miml import MIML
from models.stft import N_FREQ, magnitude
from models.training.recordings import read_mono
from models.training.solos import Solo

_SOUNDS = 0.03
"""A frame with less than this fraction of its recording's loudest frame (30 dB down) is a rest."""
_FRAMES_PER_RECORDING = 100
_FRAMES_PER_CLASS = 20_000
"""Candidates held in memory at once: 160 MB."""


def covering_bank(
    solos: list[Solo],
    network: MIML,
    *,
    keep: int,
    seed: int = 0,
    progress: Callable[[str, int], None] | None = None,
) -> BasesBank:
    """Choose up to `keep` bases an instrument from single frames of its solos.

    `progress` is called with each instrument's name and the number of its bases. An instrument
    without solos has none, nor has one whose every spectrum the network takes for another's.

    Returns
    -------
    BasesBank, without a provenance record

    Raises
    ------
    TrainingDataError
        If a recording cannot be used.
    """
    columns: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    for instrument in INSTRUMENTS:
        mine = [solo for solo in solos if solo.instrument == instrument.name]
        if mine:
            S = exemplars(mine, (seed, instrument.index))
            chosen, score = select_covering(S, relevance(network, S), instrument.index, keep, seed)
        else:
            chosen, score = np.zeros((N_FREQ, 0), np.float32), np.zeros(0, np.float32)
        columns.append(chosen)
        scores.append(score)
        if progress is not None:
            progress(instrument.name, chosen.shape[1])
    return BasesBank(columns=tuple(columns), scores=tuple(scores))


def covering_record(record: dict[str, Any], bank: BasesBank) -> dict[str, Any]:
    """Return the provenance record of a covering bank, made from that of the training run it belongs to."""
    counts = {name: int(columns.shape[1]) for name, columns in zip(NAMES, bank.columns, strict=True)}
    return record | {
        "classes": {name: told | {"bases": counts[name]} for name, told in record["classes"].items()},
        "selection": {
            "candidates": "spectra of single frames",
            "frames_per_recording": _FRAMES_PER_RECORDING,
            "relevance_margin": RELEVANCE_MARGIN,
            "coverage": "the most typical of each group of spherical k-means",
        },
    }


def exemplars(solos: list[Solo], seed: tuple[int, int]) -> NDArray[np.float32]:
    """Sounding frames of one class, drawn at random: (freq, n) float32 of unit Euclidean norm."""
    return np.concatenate(exemplars_by_solo(solos, seed), axis=1)


def exemplars_by_solo(solos: list[Solo], seed: tuple[int, int]) -> list[NDArray[np.float32]]:
    """The same, one array a solo."""
    most = max(1, min(_FRAMES_PER_RECORDING, _FRAMES_PER_CLASS // len(solos)))
    drawn = []
    for number, solo in enumerate(solos):
        V = magnitude(read_mono(solo.path)[None, :])
        level = np.linalg.norm(V, axis=0)
        sounding = np.flatnonzero(level > _SOUNDS * level.max())
        chosen = np.sort(np.random.default_rng((*seed, number)).permutation(sounding)[:most])
        drawn.append(V[:, chosen] / level[chosen])
    return drawn
