"""BSS Eval against mir_eval, the reference implementation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import InvalidAudio
from models.metrics import bss_eval, sdr, si_sdr

with warnings.catch_warnings():
    # mir_eval announces that its separation module will move elsewhere.
    warnings.simplefilter("ignore")
    from mir_eval.separation import bss_eval_sources

Signals = NDArray[np.float64]
AGREEMENT_DB = 1e-6


def mir_eval(true: Signals, heard: Signals, *, permute: bool) -> tuple[Signals, Signals, Signals, Signals]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bss_eval_sources(true, heard, compute_permutation=permute)


def mixed_up(sources: int, samples: int, leak: float = 0.2, error: float = 0.3) -> tuple[Signals, Signals]:
    """References, and estimates with something of the next reference and noise in them."""
    rng = np.random.default_rng(samples + sources)
    true = rng.standard_normal((sources, samples))
    return true, true + error * rng.standard_normal((sources, samples)) + leak * np.roll(true, 1, axis=0)


def with_rests(samples: int = 30_000) -> tuple[Signals, Signals]:
    """Players who take turns, and stems with a rest where the player plays."""
    true, _ = mixed_up(2, samples)
    true[0, : samples // 3] = 0.0
    true[1, samples // 2 :] = 0.0
    heard = true + 0.1 * true[::-1] + 0.05 * np.random.default_rng(5).standard_normal(true.shape)
    heard[:, 1_000:4_000] = 0.0
    return true, heard


def low_passed(samples: int = 20_000) -> tuple[Signals, Signals]:
    """Neighbouring samples resemble each other, as in music: the equations are ill-conditioned."""
    true, heard = mixed_up(2, samples)
    kernel = np.hanning(24)
    return tuple(np.stack([np.convolve(row, kernel)[:samples] for row in both]) for both in (true, heard))  # type: ignore[return-value]


CASES = {
    **{f"random-{n}x{samples}": mixed_up(n, samples) for n in (1, 2, 3) for samples in (4_096, 30_000)},
    "very-short": mixed_up(2, 800),
    "shorter-than-the-filter": mixed_up(1, 300),
    "good": mixed_up(2, 20_000, leak=1e-3, error=1e-3),
    "bad": mixed_up(2, 20_000, leak=5.0, error=5.0),
    "silent-segments": with_rests(),
    "low-passed": low_passed(),
}  # fmt: skip


@pytest.mark.parametrize("permute", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_numbers_are_mir_evals(case: str, permute: bool) -> None:
    true, heard = CASES[case]
    wanted_sdr, wanted_sir, wanted_sar, order = mir_eval(true, heard, permute=permute)
    ours = bss_eval(true, heard, permute=permute)
    np.testing.assert_array_equal(ours.permutation, order)
    np.testing.assert_allclose(ours.sdr, wanted_sdr, rtol=0, atol=AGREEMENT_DB)
    np.testing.assert_allclose(ours.sar, wanted_sar, rtol=0, atol=AGREEMENT_DB)
    if len(true) > 1:
        np.testing.assert_allclose(ours.sir, wanted_sir, rtol=0, atol=AGREEMENT_DB)
    else:  # with one source there is no interference
        assert np.isposinf(ours.sir).all()


@pytest.mark.parametrize("case", CASES)
def test_sdr_alone_is_the_same_sdr(case: str) -> None:
    true, heard = CASES[case]
    np.testing.assert_allclose(sdr(true, heard), mir_eval(true, heard, permute=False)[0], rtol=0, atol=AGREEMENT_DB)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1)])
def test_the_permutation_that_a_stem_belongs_to_is_found(order: tuple[int, int, int]) -> None:
    true, heard = mixed_up(3, 8_000)
    shuffled = heard[list(order)]
    ours = bss_eval(true, shuffled, permute=True)
    # Estimate permutation[i] belongs to reference i.
    np.testing.assert_array_equal(shuffled[ours.permutation], heard)
    np.testing.assert_array_equal(ours.permutation, mir_eval(true, shuffled, permute=True)[3])
    np.testing.assert_allclose(ours.sdr, bss_eval(true, heard).sdr, rtol=0, atol=AGREEMENT_DB)


def test_equal_estimates_stay_in_order() -> None:
    true, heard = mixed_up(2, 8_000)
    assert bss_eval(true, heard[[0, 0]], permute=True).permutation.tolist() == [0, 1]


def test_a_filtered_copy_is_no_distortion() -> None:
    true = np.random.default_rng(0).standard_normal((2, 20_000))
    filtered = np.stack([np.convolve(source, [0.0, 0.5, 0.2])[:20_000] for source in true])
    assert bss_eval(true, filtered).sdr.min() > 40.0
    assert sdr(true, filtered).min() > 40.0
    # Half the gain, late by a sample: to SI-SDR that is another sound.
    assert si_sdr(true, filtered).max() < 0.0


def test_si_sdr_by_hand() -> None:
    true = np.array([[3.0, 0.0, 4.0, 0.0]])
    # The part along the reference has length 10, the rest length 1.
    heard = 2.0 * true + np.array([[0.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(si_sdr(true, heard), [20.0])
    np.testing.assert_allclose(si_sdr(7.0 * true, -0.1 * heard), [20.0])


def test_si_sdr_forgives_one_tap() -> None:
    true, heard = mixed_up(3, 5_000)
    np.testing.assert_allclose(si_sdr(true, heard), sdr(true, heard, taps=1), rtol=0, atol=AGREEMENT_DB)


def test_a_pure_tone_is_measured_though_its_equations_are_singular() -> None:
    t = np.arange(44_100) / 44_100
    true = np.stack([np.sin(2 * np.pi * 440.0 * t), np.sin(2 * np.pi * 1_000.0 * t)])
    # A tenth of the amplitude is 20 dB; the tones' overlap and ends, and what 512 taps can trade, move it a little.
    np.testing.assert_allclose(sdr(true, true + 0.1 * true[::-1]), [20.0, 20.0], atol=0.5)


@pytest.mark.parametrize("measure", [bss_eval, sdr, si_sdr])
def test_what_cannot_be_measured_is_said(measure) -> None:  # type: ignore[no-untyped-def]
    true = np.random.default_rng(0).standard_normal((2, 2_000))
    silent, broken = true.copy(), true.copy()
    silent[1], broken[0, 7] = 0.0, np.nan
    for references, estimates, message in (
        (true, true[:, :900], "one shape"),
        (true[0], true[0], "one shape"),
        (true[:, :0], true[:, :0], "one shape"),
        (silent, true, "a reference is silent"),
        (true, silent, "an estimate is silent"),
        (true, broken, "not finite"),
        (broken, true, "not finite"),
    ):
        with pytest.raises(InvalidAudio, match=message):
            measure(references, estimates)


def test_too_short_to_tell_interference_from_artefacts() -> None:
    true, heard = mixed_up(2, 512)
    with pytest.raises(InvalidAudio, match=r"512 samples are too few.*need 513"):
        bss_eval(true, heard)
    assert np.isfinite(sdr(true, heard)).all()
