"""Bases by relevance, then coverage: every pitch has one, other classes' spectra are dropped, seeds repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.bands import band_starts, equaliser, merge_rows, spread_bands
from models.bases import load_default_bases
from models.coverage import cover, relevance, relevant, select_covering
from models.instruments import INSTRUMENTS, NAMES
from models.miml import MIML
from models.stft import N_FREQ
from tests.unit.signals import BIN_HZ

PITCHES = range(48, 84)


def _comb(pitch: float, tilt: float, rng: np.random.Generator) -> NDArray[np.float32]:
    f0 = 440.0 * 2.0 ** ((pitch - 69) / 12)
    rows = np.arange(N_FREQ)
    comb = sum(np.exp(-0.5 * ((rows - f0 * h / BIN_HZ) / 1.2) ** 2) / h**tilt for h in range(1, 12))
    return (comb + 1e-3 * rng.random(N_FREQ)).astype(np.float32)


def _notes(per_pitch: dict[int, int]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Spectra (freq, n) and the pitch of each: so many of every pitch, in different colours."""
    rng = np.random.default_rng(3)
    pitches = np.array([pitch for pitch, count in per_pitch.items() for _ in range(count)])
    return np.stack([_comb(pitch, rng.uniform(0.8, 1.6), rng) for pitch in pitches], axis=1), pitches


@pytest.mark.parametrize("seed", [0, 1])
def test_every_semitone_is_covered_however_rare(seed: int) -> None:
    # One pitch is heard twenty times as often as the others, as a tonic is.
    S, pitches = _notes({pitch: 60 if pitch == 60 else 3 for pitch in PITCHES})
    chosen = cover(S, 3 * len(PITCHES), seed)
    assert set(pitches[chosen]) == set(PITCHES)
    assert len(set(chosen)) == len(chosen)


def test_coverage_is_nearer_than_chance() -> None:
    S, _ = _notes(dict.fromkeys(PITCHES, 6))
    unit = np.sqrt(S) / np.linalg.norm(np.sqrt(S), axis=0)

    def worst(columns: NDArray[np.int64]) -> float:
        return float((unit.T @ unit[:, columns]).max(axis=1).min())

    drawn = np.random.default_rng(0).choice(S.shape[1], 40, replace=False)
    assert worst(cover(S, 40)) > worst(drawn)


def test_equal_seeds_choose_equally_and_the_largest_group_comes_first() -> None:
    S, pitches = _notes({60: 30, 67: 5, 72: 2})
    first, again = cover(S, 3, 4), cover(S, 3, 4)
    np.testing.assert_array_equal(first, again)
    assert pitches[first[0]] == 60


@pytest.mark.parametrize("keep", [1, 5, 50])
def test_no_more_than_there_are(keep: int) -> None:
    S, _ = _notes({60: 2, 64: 3})
    assert len(cover(S, keep)) == min(keep, 5)
    assert cover(S[:, :0], keep).shape == (0,)


def test_what_the_network_takes_for_another_class_is_dropped() -> None:
    S, pitches = _notes(dict.fromkeys(PITCHES, 2))
    X = np.zeros((8, S.shape[1]), np.float32)
    X[2] = 1.0
    X[7, pitches > 70] = 3.0
    columns, scores = select_covering(S, X, 2, keep=200)
    kept = S[:, pitches <= 70]
    assert columns.shape[1] == scores.shape[0] == kept.shape[1]
    np.testing.assert_allclose(np.linalg.norm(columns, axis=0), 1.0, rtol=1e-5)
    likeness = columns.T @ (kept / np.linalg.norm(kept, axis=0))
    assert likeness.max(axis=1).min() > 0.999
    empty, none = select_covering(S, X, 5, keep=10)
    assert empty.shape == (N_FREQ, 0)
    assert none.shape == (0,)


def test_the_margin_is_counted_from_the_highest_other_class() -> None:
    X = np.zeros((8, 3), np.float32)
    X[4], X[6] = 1.0, [0.9, 1.2, 1.6]
    assert relevant(X, 4, margin=0.0).tolist() == [True, False, False]
    assert relevant(X, 4, margin=-0.5).tolist() == [True, True, False]


def test_a_spectrums_relevance_is_its_own() -> None:
    network = MIML().eval()
    S = np.random.default_rng(0).random((N_FREQ, 5), dtype=np.float32)
    X = relevance(network, S)
    assert X.shape == (len(INSTRUMENTS), 5)
    np.testing.assert_allclose(relevance(network, 7.0 * S[:, 2:3])[:, 0], X[:, 2], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_freq", [372, 1025, 2049])
def test_bands_sum_rows_and_spread_back(n_freq: int) -> None:
    S = np.random.default_rng(1).random((n_freq, 3), dtype=np.float32)
    merged = merge_rows(S)
    assert merged.shape[0] < n_freq
    np.testing.assert_allclose(merged.sum(axis=0), S.sum(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(merged[:280], S[:280])
    spread = spread_bands(torch.from_numpy(merged), n_freq).numpy()
    starts = band_starts(280, 0.012)
    assert spread.shape == (n_freq, 3)
    np.testing.assert_array_equal(spread[starts[starts < n_freq]], merged)


def test_an_equalisers_triangles_sum_to_one() -> None:
    np.testing.assert_allclose(equaliser(32).sum(axis=1), 1.0, rtol=1e-5)


def test_the_shipped_bank_covers_every_semitone_of_every_range() -> None:
    """A note of each pitch has a spectrum whose strongest low partials are the note's own."""
    bank = load_default_bases("nmf")
    ranges = {"accordion": (53, 88), "acoustic_guitar": (40, 76), "cello": (36, 76), "trumpet": (55, 82),
              "flute": (60, 91), "xylophone": (65, 96), "saxophone": (49, 80), "violin": (55, 90)}  # fmt: skip
    for name in NAMES:
        W = bank.of(name)
        # A group of k-means can run empty: one of the xylophone's has.
        assert W.shape[1] == (799 if name == "xylophone" else 800)
        peaks = 69 + 12 * np.log2(np.maximum(1, W[:600].argmax(axis=0)) * BIN_HZ / 440.0)
        # The strongest partial is the first, the second or the third.
        heard = {round(float(peak)) - step for peak in peaks for step in (0, 12, 19)}
        low, high = ranges[name]
        assert set(range(low, high + 1)) <= heard, name
