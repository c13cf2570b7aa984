"""Rows seen on a logarithmic axis: averages there, interpolation back, an interval the same distance everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.log_bands import BANDS_PER_OCTAVE, HIGHEST_HZ, LOWEST_HZ, N_BANDS, to_bands, to_rows
from models.stft import N_FREQ
from tests.unit.signals import BIN_HZ

HERTZ = np.arange(N_FREQ) * BIN_HZ
CENTRES = LOWEST_HZ * 2 ** (np.arange(N_BANDS) / BANDS_PER_OCTAVE)


def test_a_band_is_a_mean_and_a_row_lies_between_two_bands() -> None:
    torch.testing.assert_close(to_bands(torch.full((N_FREQ, 3), 0.7)), torch.full((N_BANDS, 3), 0.7))
    torch.testing.assert_close(to_rows(torch.full((N_BANDS, 3), 0.7), 1024), torch.full((1024, 3), 0.7))
    assert to_bands(torch.eye(N_FREQ)).min() >= 0.0
    between = to_rows(torch.eye(N_BANDS), N_FREQ)
    assert between.min() >= 0.0
    assert int((between > 0).sum(dim=1).max()) <= 2


def test_bands_reach_from_the_lowest_to_the_highest_note() -> None:
    assert CENTRES[-1] == pytest.approx(HIGHEST_HZ)
    for hertz in (60.0, 440.0, 3_000.0, 13_000.0):
        row = torch.zeros(N_FREQ, 1)
        row[round(hertz / BIN_HZ)] = 1.0
        assert CENTRES[int(to_bands(row).argmax())] == pytest.approx(hertz, rel=0.1)


def test_a_smooth_curve_comes_back() -> None:
    curve = torch.from_numpy(0.5 + 0.4 * np.sin(2 * np.pi * np.log2(np.maximum(HERTZ, LOWEST_HZ) / LOWEST_HZ) / 2))
    again = to_rows(to_bands(curve.float()[:, None]), N_FREQ)[:, 0]
    inside = (HERTZ > 2 * LOWEST_HZ) & (HERTZ < HIGHEST_HZ)
    np.testing.assert_allclose(again[inside], curve[inside], atol=0.02)
    # What lies beyond is as the outermost band is.
    assert float(again[0]) == pytest.approx(float(curve[round(LOWEST_HZ / BIN_HZ)]), abs=0.1)


def test_an_octave_higher_is_the_same_picture_further_up() -> None:
    def tone(f0: float) -> torch.Tensor:
        partials = [np.exp(-0.5 * ((HERTZ - f0 * k) / (0.03 * f0 * k)) ** 2) for k in range(1, 6)]
        return to_bands(torch.from_numpy(np.sum(partials, axis=0)).float()[:, None])[:, 0]

    low, high = tone(700.0), tone(1_400.0)
    octave = round(BANDS_PER_OCTAVE)
    likeness = torch.nn.functional.cosine_similarity(low[:-octave], high[octave:], dim=0)
    assert float(likeness) > 0.99
    assert float(torch.nn.functional.cosine_similarity(low, high, dim=0)) < 0.7


@pytest.mark.parametrize("sample_rate", [4_000, 8_000, 22_050])
def test_below_44_khz_the_upper_bands_are_empty(sample_rate: int) -> None:
    n_freq = round(sample_rate / 2 / BIN_HZ) + 1
    bands = to_bands(torch.ones(n_freq, 2))
    assert bands.shape == (N_BANDS, 2)
    place = torch.from_numpy(CENTRES) / (sample_rate / 2)
    known = place < 0.95
    torch.testing.assert_close(bands[known], torch.ones(int(known.sum()), 2))
    assert not bands[place > 1.05].any()
    assert to_rows(bands, n_freq).shape == (n_freq, 2)
