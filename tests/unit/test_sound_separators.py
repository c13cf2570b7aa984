"""Separators that make sound at a rate of their own: the stems keep every promise that masks keep."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import InvalidAudio, Stopped
from models.resampling import Resampler
from models.separation import separate, separate_blocks
from models.separators import Separator, SoundSeparator
from tests.unit.signals import harmonic, noise

RATES = [8_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]


class Gains:
    """A sound separator that gives each channel a share of its own, and keeps what it was given."""

    name = "gains"
    sample_rate = 32_000
    parameters: dict[str, Any] = {}  # noqa: RUF012 - a protocol's attribute, never changed
    provenance: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, *gains: float, seconds: float = 1.0, overlap: float = 0.25) -> None:
        self.block_samples = round(seconds * self.sample_rate)
        self.overlap_samples = round(overlap * self.sample_rate)
        self._gains = np.array(gains, np.float32)[:, None]
        self.shapes: set[tuple[int, ...]] = set()

    def stem(
        self, sound: NDArray[np.float32], left: str, right: str, should_stop: Callable[[], bool] | None = None
    ) -> NDArray[np.float32]:
        """Scale."""
        assert (left, right) == ("cello", "flute")
        self.shapes.add(sound.shape)
        if should_stop is not None and should_stop():
            raise Stopped("it was stopped")
        stem: NDArray[np.float32] = sound * self._gains
        return stem


def split(mix: NDArray[np.float32], rate: int, separator: Separator | SoundSeparator) -> list[NDArray[np.float32]]:
    return list(separate(mix, rate, separator, "cello", "flute"))


def decibels(error: NDArray[np.float32], of: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.square(error).mean() / np.square(of).mean() + 1e-30))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [0.0001, 0.2, 3.7])
def test_stems_are_as_long_as_the_mix_and_sum_to_it(rate: int, channels: int, seconds: float) -> None:
    mix = noise(channels, max(1, round(seconds * rate)))
    left, right = split(mix, rate, Gains(0.3))
    assert left.shape == right.shape == mix.shape
    assert left.dtype == right.dtype == np.float32
    assert np.abs(left + right - mix).max() < 1e-6
    # Rows that are of neither rate included: they are shared as those next to them.
    if seconds > 1:
        assert decibels(left - 0.3 * mix, mix) < -55


@pytest.mark.parametrize("rate", RATES)
def test_what_it_takes_for_the_left_player_is_all_there_in_time(rate: int) -> None:
    mix = np.zeros((1, 3 * rate), np.float32)
    mix[0, [rate // 3, 2 * rate + 1]] = 0.9
    left, right = split(mix, rate, Gains(1.0))
    assert np.abs(right).max() < 1e-3
    np.testing.assert_array_equal(np.flatnonzero(left[0] > 0.5), np.flatnonzero(mix[0]))


@pytest.mark.parametrize("rate", [44_100, 96_000])
def test_each_channel_has_its_own_share_above_what_the_separator_hears(rate: int) -> None:
    left, right = split(noise(2, 2 * rate), rate, Gains(1.0, 0.0))
    assert decibels(left[1:], right[1:]) < -40
    assert decibels(right[:1], left[:1]) < -40


def test_it_gets_full_windows_with_the_channels_of_the_recording() -> None:
    for channels in (1, 2, 6):
        for seconds in (0.01, 1.3, 5.0):
            separator = Gains(0.5)
            split(noise(channels, round(seconds * 48_000)), 48_000, separator)
            assert separator.shapes == {(channels, 40_000)}


@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
def test_pieces_do_not_matter(overlap: float) -> None:
    mix = noise(2, 250_000)
    whole = split(mix, 44_100, Gains(0.2, 0.8, overlap=overlap))
    for piece in (700, 44_100, 130_000):
        blocks = [mix[:, start : start + piece] for start in range(0, mix.shape[1], piece)]
        parts = separate_blocks(blocks, 44_100, 2, Gains(0.2, 0.8, overlap=overlap), "cello", "flute")
        for stem, all_of_it in zip(zip(*parts, strict=True), whole, strict=True):
            np.testing.assert_array_equal(np.concatenate(stem, axis=1), all_of_it)


def test_windows_are_faded_into_each_other() -> None:
    class Alternating(Gains):
        def stem(self, sound: NDArray[np.float32], *_: Any) -> NDArray[np.float32]:
            self._gains = 1.0 - self._gains
            return (sound * self._gains).astype(np.float32)

    rate = 32_000
    tone = harmonic(1_000.0, 3.0, rate, partials=1)[None]
    left, _ = split(tone, rate, Alternating(1.0, seconds=1.0, overlap=0.5))
    level = np.array([np.abs(left[0, start : start + 320]).max() for start in range(0, left.shape[1] - 320, 320)])
    assert level[:95].max() < 1e-3
    assert level[152:195].min() > 0.199
    # From one to the other over half a second, 100 a second, without a step.
    assert np.abs(np.diff(level)).max() < 0.008


def test_silence_stays_silent_and_nothing_stays_nothing() -> None:
    for mix in (np.zeros((1, 100_000), np.float32), np.zeros((2, 0), np.float32)):
        left, right = split(mix, 44_100, Gains(0.5))
        assert left.shape == right.shape == mix.shape
        assert not left.any()
        assert not right.any()


def test_stopping_stops_within_a_window() -> None:
    asked = iter([False, True])
    with pytest.raises(Stopped, match="it was stopped"):
        separate(noise(1, 500_000), 44_100, Gains(0.5), "cello", "flute", should_stop=lambda: next(asked))


def test_bad_sound_is_named_before_the_separator_sees_it() -> None:
    separator = Gains(0.5)
    with pytest.raises(InvalidAudio, match="finite"):
        split(np.full((1, 50_000), np.nan, np.float32), 44_100, separator)
    assert separator.shapes == set()


def test_memory_does_not_grow_with_the_recording() -> None:
    def peak_of(seconds: int) -> int:
        def blocks() -> Iterator[NDArray[np.float32]]:
            for second in range(seconds):
                yield noise(1, 8_000, seed=second)

        tracemalloc.start()
        samples = sum(left.shape[1] for left, _ in separate_blocks(blocks(), 8_000, 1, Gains(0.5), "cello", "flute"))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert samples == 8_000 * seconds
        return peak

    peak_of(10)  # what is made once
    assert peak_of(120) < 1.1 * peak_of(30)


@pytest.mark.parametrize(("rate", "new_rate"), [(44_100, 32_000), (8_000, 32_000), (47_999, 16_000), (48_000, 48_000)])
def test_resampling_keeps_pitch_place_and_length(rate: int, new_rate: int) -> None:
    tone = np.stack([harmonic(f0, 2.0, rate, partials=1) for f0 in (440.0, 3_000.0)])
    resampler = Resampler(2, rate, new_rate)
    pieces = [resampler.push(tone[:, start : start + 5_000]) for start in range(0, tone.shape[1], 5_000)]
    again = np.concatenate([*pieces, resampler.flush()], axis=1)
    wanted = np.stack([harmonic(f0, 2.0, new_rate, partials=1) for f0 in (440.0, 3_000.0)])
    assert again.shape == wanted.shape
    inner = slice(new_rate // 10, -new_rate // 10)
    np.testing.assert_allclose(again[:, inner], wanted[:, inner], atol=1e-4)
