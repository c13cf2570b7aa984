"""Likely SDR: what a mask says of itself, the line that makes it decibels, and what the result says of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.certainty import ESTIMATE_RANGE_DB, POOR_DB, WARNED_DB, Certainty, Line
from models.masks import ratio_mask
from models.refiner import REFINED_ROWS, Refiner
from models.separation import separate
from models.separators import AdaptiveNMF, get_separator
from models.separators.adaptive_nmf import SDR_LINE
from models.training.certainty import fit_lines
from models.training.clips import Clips
from tests.unit.made_clips import clips_of
from tests.unit.refiners import BANK
from tests.unit.signals import harmonic
from tests.unit.test_sound_separators import Gains
from worker.quality import quality, quality_warnings

RATE = 44_100


class Told:
    """A separator that says how its masks tell SDR."""

    sdr_line = Line(offset_db=1.0, slope=0.5)


def certainty_of(*masks: NDArray[np.float32], level: float = 1.0) -> Certainty:
    """What is known after windows of sound with these masks, (freq, frames) each."""
    found = Certainty()
    rng = np.random.default_rng(0)
    for mask in masks:
        shape = (2, *mask.shape)
        spectrum = level * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
        found.add(spectrum.astype(np.complex64), mask)
    return found


def blurred(doubt: float) -> NDArray[np.float32]:
    """A mask that is certain (0) or knows nothing (1)."""
    sure = (np.random.default_rng(1).random((64, 20)) < 0.5).astype(np.float32)
    return (1 - doubt) * sure + doubt * np.float32(0.5)


def test_the_ratio_is_that_of_its_definition() -> None:
    mask = np.full((5, 4), 0.8, np.float32)
    left, right = certainty_of(mask, mask).ratios_db()
    assert left == pytest.approx(10 * np.log10(0.8**2 / (0.8 * 0.2)))
    assert right == pytest.approx(10 * np.log10(0.2**2 / (0.8 * 0.2)))


def test_more_doubt_ranks_lower_whatever_the_loudness() -> None:
    ratios = [certainty_of(blurred(doubt)).ratios_db() for doubt in (0.0, 0.1, 0.4, 0.8, 1.0)]
    for side in (0, 1):
        assert [ratio[side] for ratio in ratios] == sorted((ratio[side] for ratio in ratios), reverse=True)
    loud, quiet = (certainty_of(blurred(0.4), level=level).ratios_db() for level in (1e3, 1e-3))
    assert loud == pytest.approx(quiet, abs=1e-3)


def test_windows_count_by_their_energy() -> None:
    loud, quiet = certainty_of(blurred(0.1)), certainty_of(blurred(0.1))
    noise = np.ones((2, 64, 20), np.complex64)
    quiet.add(1e-4 * noise, blurred(1.0))
    loud.add(10.0 * noise, blurred(1.0))
    assert quiet.ratios_db() == pytest.approx(certainty_of(blurred(0.1)).ratios_db(), abs=0.01)
    assert max(loud.ratios_db()) < 2.0


def test_rows_that_no_mask_knows_are_left_out() -> None:
    mask = blurred(0.3)
    wide = Certainty()
    spectrum = np.ones((1, 64, 20), np.complex64)
    wide.add(np.concatenate([spectrum, 1e3 * spectrum], axis=1), mask)
    narrow = Certainty()
    narrow.add(spectrum, mask)
    assert wide.ratios_db() == narrow.ratios_db()


def test_estimates_follow_the_line_within_its_range() -> None:
    found = certainty_of(blurred(0.5))
    assert found.estimates_db(Told()) == pytest.approx([1.0 + 0.5 * ratio for ratio in found.ratios_db()])
    assert [Line(0.0, 1.0).at(ratio) for ratio in (-99.0, 99.0)] == list(ESTIMATE_RANGE_DB)


def test_silence_and_separators_that_do_not_say_have_no_estimate() -> None:
    assert Certainty().estimates_db(Told()) is None
    assert certainty_of(blurred(0.3), level=0.0).estimates_db(Told()) is None
    assert certainty_of(blurred(0.3)).estimates_db(get_separator("report", BANK)) is None
    certainty = Certainty()
    separate(np.ones((1, 9_000), np.float32), RATE, Gains(0.5), "cello", "flute", certainty=certainty)
    assert certainty.estimates_db(Gains(0.5)) is None


def test_a_duet_that_is_easy_is_known_to_be() -> None:
    low, high, near = (harmonic(f0, 2.0, RATE) for f0 in (110.0, 1244.5, 116.5))
    told = []
    for mix, right in ((low + high, "violin"), (low + near, "acoustic_guitar")):
        certainty = Certainty()
        separate(mix[None], RATE, AdaptiveNMF(BANK), "accordion", right, certainty=certainty)
        told.append(certainty.estimates_db(AdaptiveNMF(BANK)))
    assert told[0] is not None
    assert told[1] is not None
    assert sum(told[0]) > sum(told[1]) + 6.0
    # Tones a semitone apart: one of the two got next to nothing.
    assert min(told[1]) < POOR_DB < min(told[0])


def test_the_line_of_nmf_is_the_one_that_training_measured() -> None:
    measured = get_separator("learned").provenance["network"]["sdr_lines"]["nmf"]
    assert Line(**measured) == SDR_LINE, "write these numbers into models/separators/adaptive_nmf.py"
    assert AdaptiveNMF(BANK).sdr_line == SDR_LINE


def _clip(rng: np.random.Generator, spread: float, line: Line) -> tuple[NDArray[np.float32], ...]:
    """Magnitude, guided share and ideal share whose true SDR lies on a line over what the guided share leaves in doubt,
    for both players: shares are drawn alike from both ends.
    """
    share = 0.5 + 0.5 * np.sign(rng.standard_normal((REFINED_ROWS, 8))) * (1 - spread * rng.random((REFINED_ROWS, 8)))
    share = np.clip(share, 0.0, 1.0)
    ratio = 10 * np.log10(np.square(share).sum() / (share * (1 - share)).sum())
    wanted = 10 ** ((line.offset_db + line.slope * ratio) / 10)
    # An error e of one size everywhere, towards the middle, so that |ideal|^2 / |share - ideal|^2 is as wanted: solved
    # for the left player, and by symmetry nearly so for the right one.
    low, high = 0.0, 1.0
    for _ in range(50):
        error = (low + high) / 2
        ideal = share + error * np.where(share > 0.5, -1, 1)
        low, high = (error, high) if np.square(ideal).sum() / (error**2 * share.size) > wanted else (low, error)
    return np.ones_like(share, dtype=np.float32), share.astype(np.float32), ideal.astype(np.float32)


def test_fitting_finds_the_line_that_there_is() -> None:
    line = Line(offset_db=2.0, slope=0.6)
    rng = np.random.default_rng(4)
    clips: Clips = clips_of([_clip(rng, spread, line) for spread in np.linspace(0.1, 0.9, 12)])
    torch.manual_seed(0)
    # A network that was never trained leaves masks as they are: both have the line of guided NMF.
    lines = fit_lines(Refiner().eval(), clips)
    assert lines.keys() == {"nmf", "learned"}
    assert lines["nmf"].slope == pytest.approx(line.slope, abs=0.02)
    assert lines["nmf"].offset_db == pytest.approx(line.offset_db, abs=0.2)
    assert lines["learned"].slope == pytest.approx(lines["nmf"].slope, abs=0.02)


@pytest.mark.parametrize(
    ("likely", "word"),
    [(30.0, "clean"), (12.0, "clean"), (11.9, "fair"), (4.5, "rough"), (2.9, "poor"), (1.9, "poor"), (-8.0, "poor")],
)
def test_the_result_says_what_the_number_means(likely: float, word: str) -> None:
    told = quality((likely, 7.0), "acoustic_guitar", "flute")
    assert told is not None
    assert told["left"]["likely_sdr_db"] == likely
    assert told["left"]["meaning"].startswith(f"{word}: ")
    assert "the acoustic guitar" in told["left"]["meaning"]
    assert told["right"]["meaning"] == "fair: the other player is heard faintly behind the flute"
    warned = quality_warnings((likely, 7.0), "acoustic_guitar", "flute")
    assert len(warned) == (likely < WARNED_DB)
    assert all("The left stem (acoustic guitar) is likely poor" in text for text in warned)


def test_what_is_not_known_is_not_said() -> None:
    assert quality(None, "cello", "flute") is None
    assert quality_warnings(None, "cello", "flute") == []


def test_a_share_that_is_no_doubt_costs_nothing() -> None:
    certain = ratio_mask(np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 2.0]], np.float32))
    assert min(certainty_of(certain).ratios_db()) > 100.0
