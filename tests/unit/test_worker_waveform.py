"""The outline of a signal: right whatever its length, and in whatever blocks it comes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.signals import noise
from worker.waveform import MOST_POINTS, Waveform


@pytest.mark.parametrize("samples", [1, 63, 64, 65, 5_000, 128_000, 128_001, 128_065, 300_007])
@pytest.mark.parametrize("step", [997, 65_536])
def test_each_point_is_the_peak_of_its_samples(samples: int, step: int) -> None:
    signal = noise(2, samples)
    waveform = Waveform()
    for start in range(0, samples, step):
        waveform.add(signal[:, start : start + step])
    width = waveform.samples_per_point
    loudest = np.abs(signal).max(axis=0)
    wanted = [loudest[start : start + width].max() for start in range(0, samples, width)]
    assert waveform.points() == pytest.approx(wanted, abs=6e-4)
    assert len(wanted) <= MOST_POINTS + 1
    assert samples < MOST_POINTS * 64 or len(wanted) >= MOST_POINTS // 2


def test_blocks_do_not_matter() -> None:
    signal = noise(1, 400_003)
    outlines = set()
    for step in (1_000, 65_536, 400_003):
        waveform = Waveform()
        for start in range(0, signal.shape[1], step):
            waveform.add(signal[:, start : start + step])
        outlines.add((waveform.samples_per_point, tuple(waveform.points())))
    assert len(outlines) == 1


def test_nothing_has_no_points() -> None:
    assert Waveform().points() == []
