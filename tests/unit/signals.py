"""Sounds that tests make for themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.bases import BasesBank
from models.instruments import INSTRUMENTS
from models.stft import N_FREQ

BIN_HZ = 44_100 / 4096


def harmonic(f0: float, seconds: float, sample_rate: int, partials: int = 8, tilt: float = 1.0) -> NDArray[np.float32]:
    """A steady tone (samples,) float32 of `partials` harmonics, each 1 / k**tilt as strong as the first."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    tone = sum(np.sin(2 * np.pi * f0 * k * t) / k**tilt for k in range(1, partials + 1) if f0 * k < sample_rate / 2)
    return (0.2 * np.asarray(tone)).astype(np.float32)


def noise(channels: int, samples: int, seed: int = 0) -> NDArray[np.float32]:
    """White noise (channels, samples) float32 at about -20 dB."""
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)


def synthetic_bank(per_class: int = 12) -> BasesBank:
    """A bank in which each instrument has harmonic combs in a register of its own."""
    columns = []
    rows = np.arange(N_FREQ)
    for instrument in INSTRUMENTS:
        combs = []
        for k in range(per_class):
            f0 = 110.0 * 2 ** (instrument.index / 2 + k / 24)
            partials = [np.exp(-0.5 * ((rows - f0 * h / BIN_HZ) / 1.2) ** 2) / h for h in range(1, 9)]
            comb = np.sum(partials, axis=0) + 1e-6
            combs.append(comb / np.linalg.norm(comb))
        columns.append(np.stack(combs, axis=1).astype(np.float32))
    scores = tuple(np.linspace(1, 0.1, per_class, dtype=np.float32) for _ in INSTRUMENTS)
    return BasesBank(columns=tuple(columns), scores=scores, provenance={"made_by": "tests"})
