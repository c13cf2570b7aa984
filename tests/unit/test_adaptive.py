"""Guided NMF that fits itself to the recording: what each step is for, golden numbers, stopping."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models import separate
from models.adaptive import Fit, Settings
from models.bands import equaliser
from models.errors import InvalidBases, Stopped
from models.masks import ratio_mask
from models.metrics import sdr
from models.nmf import GUIDED_ITERATIONS
from models.separators import AdaptiveNMF, get_separator
from models.stft import N_FREQ
from tests.unit.signals import BIN_HZ, harmonic, synthetic_bank

BANK = synthetic_bank()
GOLDEN = Path(__file__).with_name("golden_nmf.json")
TOLERANCE_DB = 0.05
PLAIN = Settings(sparsity=0.0, smoothing_share=0.0, spectra_at_once=10_000, equaliser_iterations=0, adaptations=0)


def _colour(tilt: float, odd: bool) -> NDArray[np.float32]:
    """Twenty-four semitones of one colour, (freq, 24): how fast partials fall, and whether the even ones are weak."""
    rows = np.arange(N_FREQ)
    notes = []
    for k in range(24):
        f0 = 196.0 * 2 ** (k / 12)
        strength = {h: (0.2 if odd and h % 2 == 0 else 1.0) / h**tilt for h in range(1, 14)}
        notes.append(sum(a * np.exp(-0.5 * ((rows - f0 * h / BIN_HZ) / 1.2) ** 2) for h, a in strength.items()))
    return np.stack(notes, axis=1).astype(np.float32) + np.float32(1e-6)


BRIGHT, HOLLOW = _colour(0.6, odd=False), _colour(1.2, odd=True)


def _players(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Magnitudes (freq, frames) of two players in one range, sums of their own spectra, notes of ten frames."""
    rng = np.random.default_rng(seed)
    parts = []
    for W in (BRIGHT, HOLLOW):
        H = np.zeros((24, 60), np.float32)
        for start in range(0, 60, 10):
            H[rng.choice(24, 2, replace=False), start : start + 10] = rng.uniform(0.3, 1.0, (2, 1))
        parts.append(W @ H)
    return parts[0], parts[1]


def _share_error(settings: Settings, left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Mean absolute error of the left player's share, weighted by the mix."""
    V = left + right
    mask = ratio_mask(*Fit(V, BRIGHT, HOLLOW, settings).run())
    return float((np.abs(mask - left / V.clip(1e-12)) * V).sum() / V.sum())


def _mean_error(change: dict[str, float], rough: bool = False, colour: bool = False) -> float:
    """Mean over three duets, of magnitudes that flicker, or of a left player whom the bank does not know."""
    errors = []
    for seed in (1, 2, 3):
        left, right = _players(seed)
        if rough:
            flicker = np.random.default_rng(2).exponential(1.0, left.shape).astype(np.float32)
            left, right = left * flicker, right * flicker
        if colour:
            left = left * np.random.default_rng(5).uniform(0.5, 2.0, (N_FREQ, 1)).astype(np.float32)
        errors.append(_share_error(replace(PLAIN, **change), left, right))  # type: ignore[arg-type]
    return float(np.mean(errors))


def test_players_in_one_range_are_told_apart_by_their_colour() -> None:
    assert _share_error(Settings(), *_players()) < 0.08


def test_smoothing_and_pruning_help_notes_that_last() -> None:
    plain = _mean_error({}, rough=True)
    assert _mean_error({"smoothing_share": 0.5}, rough=True) < 0.85 * plain
    assert _mean_error({"spectra_at_once": 3}, rough=True) < 0.95 * plain


def test_a_dearer_activation_explains_less() -> None:
    left, right = _players()
    fits = [Fit(left + right, BRIGHT, HOLLOW, replace(PLAIN, sparsity=cost)).run() for cost in (0.0, 3.0, 30.0)]
    explained = [float(ours.sum() + theirs.sum()) for ours, theirs in fits]
    assert explained[0] > explained[1] > explained[2] > 0


def test_the_equaliser_finds_a_players_room() -> None:
    left, right = _players(3)
    points = np.ones(32, np.float32)
    points[20:] = 0.4
    dull = (equaliser(32) @ points)[:, None]
    without = _share_error(PLAIN, dull * left, right)
    assert _share_error(replace(PLAIN, equaliser_iterations=12), dull * left, right) < 0.8 * without


def test_adapting_follows_an_instrument_that_the_bank_does_not_know() -> None:
    assert _mean_error({"adaptations": 4, "prior": 0.1}, colour=True) < 0.97 * _mean_error({}, colour=True)


def test_the_result_does_not_depend_on_the_level() -> None:
    left, right = _players(6)
    V = left + right
    levels = (np.float32(1.0), np.float32(2.0**-20))
    loud, quiet = (ratio_mask(*Fit(level * V, BRIGHT, HOLLOW, Settings()).run()) for level in levels)
    np.testing.assert_allclose(quiet, loud, atol=1e-4)


@pytest.mark.parametrize("after", [0, 1, 25])
def test_stopping_is_looked_at_in_every_iteration(after: int) -> None:
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > after

    left, right = _players()
    with pytest.raises(Stopped):
        Fit(left + right, BRIGHT, HOLLOW, Settings(), stop).run()
    assert calls == after + 1


def test_a_bank_without_the_instrument_is_refused() -> None:
    columns, scores = list(BANK.columns), list(BANK.scores)
    columns[2], scores[2] = columns[2][:, :0], scores[2][:0]
    bank = BANK.__class__(tuple(columns), tuple(scores))
    with pytest.raises(InvalidBases, match="no bases for cello"):
        AdaptiveNMF(bank).mask(np.ones((2049, 3), np.float32), "cello", "violin")


def test_the_parameters_are_complete() -> None:
    parameters = AdaptiveNMF(BANK).parameters
    assert json.loads(json.dumps(asdict(Settings()))).items() <= parameters.items()
    assert json.loads(json.dumps(parameters)) == parameters
    assert len(str(get_separator("nmf").parameters["bases_sha256"])) == 64
    assert get_separator("report").parameters["iterations"] == GUIDED_ITERATIONS


def _duet(left: str, right: str) -> NDArray[np.float32]:
    """Two melodies of plain tones, five seconds: (players, samples)."""
    tunes = {"cello": (131.0, 165.0, 196.0, 147.0), "violin": (523.0, 440.0, 659.0, 587.0),
             "flute": (784.0, 880.0, 988.0, 1047.0), "saxophone": (233.0, 262.0, 311.0, 349.0)}  # fmt: skip
    partials = {"cello": (24, 0.9), "violin": (16, 1.0), "flute": (4, 2.0), "saxophone": (20, 0.7)}
    return np.stack([
        np.concatenate([harmonic(f0, 1.25, 44_100, *partials[name]) for f0 in tunes[name]]) for name in (left, right)
    ])  # fmt: skip


@pytest.mark.parametrize(("left", "right"), [("cello", "flute"), ("saxophone", "violin"), ("violin", "cello")])
@pytest.mark.parametrize("name", ["learned", "nmf", "report"])
def test_golden_numbers(name: str, left: str, right: str) -> None:
    """SDR of the shipped bases on synthetic duets; DUETTO_REWRITE_GOLDEN=1 writes what is measured."""
    true = _duet(left, right)
    stems = separate(true.sum(axis=0, keepdims=True), 44_100, get_separator(name), left, right)
    measured = [round(float(value), 3) for value in sdr(true, np.concatenate(stems))]
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    key = f"{name} {left} {right}"
    if os.environ.get("DUETTO_REWRITE_GOLDEN"):
        golden[key] = measured
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert measured == pytest.approx(golden[key], abs=TOLERANCE_DB)
