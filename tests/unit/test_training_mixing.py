"""What the learned separator is trained on: damaged sound, and mixes of solos, drawn at random, never twice alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from models.training.damage import colour, compress_to_mp3, limit_bandwidth, retune
from models.training.mixing import CLIP_SAMPLES, Mix, Mixer
from models.training.solos import Solo
from tests.unit.signals import harmonic, noise

RATE = 44_100


def level_db(audio: NDArray[np.floating]) -> float:
    return float(10 * np.log10(np.square(audio).mean() + 1e-20))


def gain_db(before: NDArray[np.float32], after: NDArray[np.float32], low: float, high: float) -> float:
    """How much louder a band from `low` to `high` Hz has become."""
    hertz = np.fft.rfftfreq(len(before), 1 / RATE)
    inside = (hertz >= low) & (hertz < high)
    powers = [np.square(np.abs(np.fft.rfft(audio)[inside])).sum() for audio in (after, before)]
    return float(10 * np.log10(powers[0] / powers[1]))


@pytest.mark.parametrize("cents", [-60.0, 0.0, 37.5])
def test_retuning_moves_pitch_and_tempo_together(cents: float) -> None:
    tone = harmonic(440.0, 2.0, RATE, partials=1)
    moved = retune(tone, cents)
    ratio = 2 ** (cents / 1200)
    assert len(moved) == pytest.approx(len(tone) / ratio, abs=2)
    spectrum = np.abs(np.fft.rfft(moved * np.hanning(len(moved)), 16 * len(moved)))
    assert spectrum.argmax() * RATE / (16 * len(moved)) == pytest.approx(440.0 * ratio, rel=1e-4)


def test_colour_follows_its_gains() -> None:
    sound = noise(1, 2 * RATE)[0]
    gains = np.array([6.0, -6.0, 6.0, -6.0, 6.0, -6.0, 6.0, -6.0])
    coloured = colour(sound, gains)
    assert coloured.shape == sound.shape
    assert coloured.dtype == np.float32
    for hertz, wanted in zip(np.geomspace(60.0, 16_000.0, 8), gains, strict=True):
        assert gain_db(sound, coloured, 0.97 * hertz, 1.03 * hertz) == pytest.approx(wanted, abs=0.6)
    # What lies beyond the curve is as its ends are.
    assert gain_db(sound, coloured, 20.0, 60.0) == pytest.approx(6.0, abs=0.1)
    np.testing.assert_allclose(colour(sound, np.zeros(8)), sound, atol=1e-6)


def test_bandwidth_ends_at_its_corner() -> None:
    sound = noise(1, 2 * RATE)[0]
    narrow = limit_bandwidth(sound, 4_000.0)
    assert narrow.shape == sound.shape
    assert gain_db(sound, narrow, 20.0, 2_500.0) == pytest.approx(0.0, abs=0.1)
    assert gain_db(sound, narrow, 3_900.0, 4_100.0) == pytest.approx(-6.0, abs=0.5)
    assert gain_db(sound, narrow, 8_000.0, 20_000.0) < -60


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize("samples", [5_000, CLIP_SAMPLES, 100_001])
def test_mp3_is_aligned_to_the_sample_and_as_loud_as_before(level: float, samples: int) -> None:
    sound = np.convolve(noise(1, samples, seed=samples)[0] * 30, np.hanning(30) / 15, "same").astype(np.float32)
    coded = compress_to_mp3(sound, level)
    assert coded.shape == sound.shape
    assert level_db(coded - sound) < level_db(sound) - 8
    spectra = [np.fft.rfft(audio, 2 * samples) for audio in (coded, sound)]
    correlation = np.fft.irfft(spectra[0] * spectra[1].conj())
    assert correlation.argmax() == 0


def test_mp3_of_silence_is_silence() -> None:
    assert not compress_to_mp3(np.zeros(20_000, np.float32), 0.9).any()


@pytest.fixture(scope="module")
def solos(tmp_path_factory: pytest.TempPathFactory) -> list[Solo]:
    """Cello and flute from two origins, one of them with many more recordings; the tones tell which it was."""
    folder = tmp_path_factory.mktemp("solos")
    made = []
    for instrument, hertz in (("cello", 110.0), ("flute", 880.0)):
        for origin, count in (("many", 3), ("few", 1)):
            for number in range(count):
                path = folder / f"{instrument}-{origin}-{number}.wav"
                tone = harmonic(hertz * (1.0 if origin == "many" else 1.5), 8.0, RATE)
                soundfile.write(path, tone, RATE)
                made.append(Solo(path, instrument, origin))
    return made


@pytest.fixture(scope="module")
def mixes(solos: list[Solo]) -> list[Mix]:
    mixer = Mixer(solos, seed=5)
    return [mixer.draw(number) for number in range(40)]


def test_a_clip_depends_on_its_seed_and_number_alone(solos: list[Solo], mixes: list[Mix]) -> None:
    again = Mixer(solos, seed=5)
    for number in (17, 3):
        drawn = again.draw(number)
        np.testing.assert_array_equal(drawn.players, mixes[number].players)
        assert drawn.solos == mixes[number].solos
    assert not np.array_equal(mixes[3].players, mixes[17].players)
    assert not np.array_equal(Mixer(solos, seed=6).draw(3).players, mixes[3].players)


def test_two_instruments_play_in_every_clip(mixes: list[Mix]) -> None:
    for mix in mixes:
        assert mix.players.shape == (2, CLIP_SAMPLES)
        assert mix.players.dtype == np.float32
        assert np.isfinite(mix.players).all()
        assert {solo.instrument for solo in mix.solos} == {"cello", "flute"}
    assert {mix.solos[0].instrument for mix in mixes} == {"cello", "flute"}


def test_origins_are_drawn_equally_often_however_many_recordings_they_have(mixes: list[Mix]) -> None:
    drawn = [solo.origin for mix in mixes for solo in mix.solos]
    # 80 draws of one half: four standard deviations are 18; in proportion to the recordings it would be 20.
    assert abs(drawn.count("few") - 40) < 18


def test_loudness_is_mostly_even_and_12_db_apart_at_most(mixes: list[Mix]) -> None:
    # Of the last second, which pauses hardly reach.
    last = [mix.players[:, -RATE:] for mix in mixes]
    differences = np.array([level_db(players[0]) - level_db(players[1]) for players in last])
    assert np.abs(differences).max() < 13.0
    assert (np.abs(differences) < 3.5).mean() > 0.5
    assert (np.abs(differences) > 4.0).any()


def test_now_and_then_one_player_pauses(mixes: list[Mix]) -> None:
    pausing = [(np.abs(mix.players[:, :200]).max(axis=1) == 0.0).sum() for mix in mixes]
    assert 0 < sum(count > 0 for count in pausing) < len(mixes) / 4
    assert max(pausing) == 1


def test_noise_is_of_neither_player(mixes: list[Mix]) -> None:
    def top(player: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is above 12 kHz, where these tones have nothing."""
        spectrum = np.fft.rfft(player)
        spectrum[: round(12_000 * len(player) / RATE)] = 0.0
        return np.asarray(np.fft.irfft(spectrum, len(player)), np.float32)

    def steady_db(sound: NDArray[np.float32]) -> float:
        """The level of the middle one of all tenths of a second: a click at the end of a pause is not counted."""
        pieces = sound[: len(sound) // 4_410 * 4_410].reshape(-1, 4_410)
        return float(10 * np.log10(np.median(np.square(pieces).mean(axis=1)) + 1e-20))

    noisy = 0
    for mix in mixes:
        tops = [top(player) for player in mix.players]
        if steady_db(tops[0]) < -75:
            continue
        noisy += 1
        assert steady_db(tops[0] - tops[1]) < steady_db(tops[0]) - 6
    assert len(mixes) / 8 < noisy < len(mixes) / 1.5


def test_excerpts_are_of_sound_not_of_rests(tmp_path: Path) -> None:
    for instrument in ("cello", "flute"):
        tone = harmonic(440.0, 40.0, RATE)
        tone[: 20 * RATE] = 0.0
        soundfile.write(tmp_path / f"{instrument}.wav", tone, RATE)
    mixer = Mixer([Solo(tmp_path / f"{name}.wav", name, "one") for name in ("cello", "flute")], seed=0)
    # Half the beginnings lie in the rest; five draws in a row do so once in 32.
    heard = [bool(player[-RATE:].any()) for number in range(12) for player in mixer.draw(number).players]
    assert sum(heard) >= 20


def test_a_solo_shorter_than_a_clip_is_followed_by_silence(tmp_path: Path) -> None:
    for instrument in ("cello", "flute"):
        soundfile.write(tmp_path / f"{instrument}.wav", harmonic(440.0, 2.0, RATE), RATE)
    mixer = Mixer([Solo(tmp_path / f"{name}.wav", name, "one") for name in ("cello", "flute")], seed=0)
    players = mixer.draw(0).players
    assert players.shape == (2, CLIP_SAMPLES)
    assert level_db(players[0, :RATE]) > level_db(players[0, -RATE:]) + 20
