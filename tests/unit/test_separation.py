"""From mix to stems: exact length, left + right = mix, silence, stopping; masks and separators."""

from __future__ import annotations

import numpy as np
import pytest

from models.adaptive import Settings
from models.errors import InvalidAudio, InvalidBases, Stopped, UnknownInstrument
from models.masks import extend_mask, ratio_mask
from models.metrics import bss_eval
from models.separation import separate, separate_blocks
from models.separators import AUTO, NAMES, get_separator
from tests.unit.signals import harmonic, noise, synthetic_bank

BANK = synthetic_bank()


@pytest.mark.parametrize("sample_rate", [8_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [0.01, 0.2, 5.3])
def test_stems_are_as_long_as_the_mix_and_sum_to_it(sample_rate: int, channels: int, seconds: float) -> None:
    mix = noise(channels, round(seconds * sample_rate) + 3)
    left, right = separate(mix, sample_rate, get_separator(AUTO, BANK), "cello", "violin")
    assert left.shape == right.shape == mix.shape
    assert left.dtype == right.dtype == np.float32
    assert np.abs(left + right - mix).max() < 1e-6


@pytest.mark.parametrize("piece", [300, 44_100, 1_000_000])
@pytest.mark.parametrize("name", NAMES)
def test_pieces_do_not_matter(name: str, piece: int) -> None:
    mix = noise(2, 900_000)
    separator = get_separator(name, BANK)
    blocks = [mix[:, start : start + piece] for start in range(0, mix.shape[1], piece)]
    stems = [np.concatenate(parts, axis=1) for parts in zip(*separate_blocks(
        blocks, 44_100, 2, separator, "flute", "trumpet"), strict=True)]  # fmt: skip
    for stem, whole in zip(stems, separate(mix, 44_100, separator, "flute", "trumpet"), strict=True):
        np.testing.assert_array_equal(stem, whole)


@pytest.mark.parametrize("sample_rate", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("name", NAMES)
def test_two_registers_are_told_apart(name: str, sample_rate: int) -> None:
    # The synthetic bank gives the accordion tones from 110 Hz up and the violin from 1,245 Hz up.
    true = np.stack([harmonic(110.0, 3.0, sample_rate), harmonic(1244.5, 3.0, sample_rate)])
    stems = separate(true.sum(axis=0, keepdims=True), sample_rate, get_separator(name, BANK), "accordion", "violin")
    # The network of `learned` knows instruments, and no such tones.
    assert bss_eval(true, np.concatenate(stems)).sdr.min() > (3.0 if name == "learned" else 10.0)


def test_sides_are_not_mixed_up() -> None:
    true = np.stack([harmonic(110.0, 2.0, 44_100), harmonic(1244.5, 2.0, 44_100)])
    mix = true.sum(axis=0, keepdims=True)
    one = separate(mix, 44_100, get_separator(AUTO, BANK), "accordion", "violin")
    other = separate(mix, 44_100, get_separator(AUTO, BANK), "violin", "accordion")
    np.testing.assert_allclose(one[0], other[1], atol=1e-3)


def test_equal_runs_give_equal_bytes() -> None:
    mix = noise(1, 300_000)
    first, again = (separate(mix, 44_100, get_separator(AUTO, BANK), "cello", "flute") for _ in range(2))
    assert first[0].tobytes() == again[0].tobytes()


@pytest.mark.parametrize("level", [0.0, 1e-38, 1e-30, 1e-7, 1e4])
@pytest.mark.parametrize("name", NAMES)
def test_extreme_levels_are_neither_nan_nor_changed(name: str, level: float) -> None:
    mix = noise(1, 50_000) * np.float32(level)
    left, right = separate(mix, 44_100, get_separator(name, BANK), "cello", "flute")
    assert np.isfinite(left).all()
    assert np.abs(left + right - mix).max() <= 1e-6 * max(level, 1e-30)


@pytest.mark.parametrize("name", NAMES)
def test_silence_in_the_middle(name: str) -> None:
    mix = noise(1, 900_000)
    mix[:, 300_000:600_000] = 0.0
    left, _ = separate(mix, 44_100, get_separator(name, BANK), "cello", "flute")
    assert np.abs(left[:, 310_000:590_000]).max() < 1e-6


def test_progress_ends_at_one_and_stopping_stops() -> None:
    seen: list[float] = []
    separate(noise(1, 700_000), 44_100, get_separator(AUTO, BANK), "cello", "flute", progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    with pytest.raises(Stopped):
        separate(noise(1, 700_000), 44_100, get_separator(AUTO, BANK), "cello", "flute", should_stop=lambda: True)


def test_bad_input_is_named() -> None:
    separator = get_separator(AUTO, BANK)
    with pytest.raises(InvalidAudio, match="finite"):
        separate(np.full((1, 50_000), np.nan, np.float32), 44_100, separator, "cello", "flute")
    with pytest.raises(UnknownInstrument, match="banjo"):
        separate(noise(1, 50_000), 44_100, separator, "cello", "banjo")
    with pytest.raises(ValueError, match="no separator is called 'magic'"):
        get_separator("magic", BANK)
    with pytest.raises(InvalidBases):
        BANK.__class__(BANK.columns[:3], BANK.scores)


def test_the_parameters_tell_what_a_result_depends_on() -> None:
    parameters = get_separator("report", BANK).parameters
    assert parameters["beta"] == 2.0
    assert parameters["bases_per_instrument"] == [12] * 8
    assert {"iterations", "bases_sha256"} <= parameters.keys()
    parameters = get_separator("nmf", BANK).parameters
    assert parameters["beta"] == Settings().beta
    assert {"spectra_at_once", "equaliser_points", "block_frames", "bases_sha256"} <= parameters.keys()


def test_a_mask_is_a_share() -> None:
    left = np.array([[0.0, 1.0, 3.0, 0.0]], np.float32)
    right = np.array([[0.0, 1.0, 1.0, 2.0]], np.float32)
    np.testing.assert_allclose(ratio_mask(left, right), [[0.5, 0.5, 0.75, 0.0]])
    np.testing.assert_allclose(ratio_mask(left, right) + ratio_mask(right, left), 1.0)


def test_a_mask_continues_above_the_known_rows() -> None:
    mask = np.vstack([np.zeros((200, 3)), np.full((100, 3), 0.7)]).astype(np.float32)
    extended = extend_mask(mask, 500)
    assert extended.shape == (500, 3)
    np.testing.assert_allclose(extended[300:], 0.7, rtol=1e-6)
    assert extend_mask(mask, 300) is mask
