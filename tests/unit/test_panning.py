"""Two players of one instrument: told apart by their places in the stereo image, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import scipy.signal
import soundfile
from numpy.typing import NDArray

from models.errors import PlayersAlike, Stopped
from models.metrics import si_sdr
from models.panning import find_positions
from models.separation import separate
from models.separators import ByPosition, get_separator
from tests.unit.signals import noise
from tests.unit.test_example import EXAMPLES

RATE = 44_100


def players() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both stems of the example, mono, 6 s of each, equally loud: what they play does not matter here."""
    stems = [soundfile.read(EXAMPLES / f"duet_{side}.wav", dtype="float32", frames=6 * RATE)[0] for side in
             ("left", "right")]  # fmt: skip
    one, other = (0.05 * stem / np.sqrt(np.square(stem).mean()) for stem in stems)
    return one, other


def panned(sound: NDArray[np.float32], position: float, wet: float = 0.0) -> NDArray[np.float32]:
    """The sound at a position of the stereo image, 0 to 1; `wet`: how loud its room is, which comes from everywhere."""
    gains = np.array([np.cos(position * np.pi / 2), np.sin(position * np.pi / 2)])[:, None]
    image = gains * sound
    if wet:
        rng = np.random.default_rng(round(1000 * position))
        decay = rng.normal(size=(2, RATE // 2)) * np.exp(-6.9 * np.linspace(0, 1, RATE // 2))
        decay[:, : RATE // 50] = 0.0
        decay /= np.sqrt(np.square(decay).sum(axis=1, keepdims=True))
        image += wet * np.sqrt(0.5) * scipy.signal.fftconvolve(np.stack([sound, sound]), decay, axes=1)[:, : len(sound)]
    return image.astype(np.float32)


def refusal(mix: NDArray[np.float32]) -> str:
    with pytest.raises(PlayersAlike) as caught:
        find_positions([mix], RATE, mix.shape[0])
    return str(caught.value)


@pytest.mark.parametrize(
    ("left", "right", "wet", "least_db"),
    [(0.2, 0.8, 0.0, 12), (0.0, 1.0, 0.0, 12), (0.4, 0.6, 0.0, 8), (0.25, 0.75, 0.3, 8)],
)  # fmt: skip
def test_players_at_two_places_are_parted(left: float, right: float, wet: float, least_db: float) -> None:
    one, other = players()
    true = [panned(one, left, wet), panned(other, right, wet)]
    mix = true[0] + true[1]
    found = find_positions(np.array_split(mix, 7, axis=1), RATE, 2)
    assert found.left == pytest.approx(left, abs=0.04)
    assert found.right == pytest.approx(right, abs=0.04)
    separator = ByPosition(found, RATE)
    stems = separate(mix, RATE, separator, "violin", "violin")
    assert np.abs(stems[0] + stems[1] - mix).max() < 1e-6
    for stem, truth in zip(stems, true, strict=True):
        assert si_sdr(truth.reshape(1, -1), stem.reshape(1, -1))[0] > least_db
    assert separator.parameters == {"left": found.left, "right": found.right, "spread": 0.1}


def test_whoever_is_further_left_is_the_left_one() -> None:
    one, other = players()
    mix = panned(other, 0.15) + panned(one, 0.5)
    left, right = separate(mix, RATE, ByPosition(find_positions([mix], RATE, 2), RATE), "cello", "cello")
    assert si_sdr(panned(other, 0.15).reshape(1, -1), left.reshape(1, -1))[0] > 5
    assert si_sdr(panned(one, 0.5).reshape(1, -1), right.reshape(1, -1))[0] > 5


def test_a_player_twelve_decibels_quieter_is_found() -> None:
    one, other = players()
    found = find_positions([panned(0.25 * one, 0.3) + panned(other, 0.7)], RATE, 2)
    assert found.left == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("rate", [8_000, 96_000])
def test_any_rate(rate: int) -> None:
    # The same samples at another rate: deeper or higher, and as well panned.
    left, right = panned(players()[0], 0.2), panned(players()[1], 0.8)
    mix = left + right
    stems = separate(mix, rate, ByPosition(find_positions([mix], rate, 2), rate), "flute", "flute")
    assert stems[0].shape == stems[1].shape == mix.shape
    assert np.abs(stems[0] + stems[1] - mix).max() < 1e-6
    assert si_sdr(left.reshape(1, -1), stems[0].reshape(1, -1))[0] > 8


def test_where_nothing_tells_them_apart_the_reason_is_said() -> None:
    one, other = players()
    together = one + other
    assert refusal(together[None]) == "the recording is mono"
    assert refusal(np.stack([together, together])) == "both channels of the recording hold the same"
    assert refusal(np.stack([together, 0.5 * together, together])) == "it has 3 channels, not two"
    wide = "no two places stand out in the recording's stereo image"
    assert refusal(noise(2, 2 * RATE)) == wide
    # One player in a room, two players in one place of a room.
    assert refusal(panned(one, 0.3, 0.7)) == wide
    assert refusal(panned(one, 0.5, 0.5) + panned(other, 0.5, 0.5)) == wide
    # Two microphones that hear both equally loud, at other times.
    assert refusal(np.stack([together, np.roll(one, 20) + np.roll(other, -20)])) == wide


def test_no_more_is_read_than_two_minutes_and_it_stops_when_asked_to() -> None:
    read = []

    def blocks() -> Iterator[NDArray[np.float32]]:
        for number in range(1000):
            read.append(number)
            yield np.zeros((2, 10 * 8_000), np.float32)

    with pytest.raises(PlayersAlike):
        find_positions(blocks(), 8_000, 2)
    assert len(read) == 12
    with pytest.raises(Stopped):
        find_positions(blocks(), 8_000, 2, should_stop=lambda: True)


@pytest.mark.parametrize("name", ["learned", "nmf", "report"])
def test_separators_by_instrument_refuse_two_of_one(name: str) -> None:
    with pytest.raises(PlayersAlike, match="both players play violin"):
        separate(noise(1, RATE), RATE, get_separator(name), "violin", "violin")
