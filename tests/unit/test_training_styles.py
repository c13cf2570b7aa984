"""Ways of playing: what each does to the sound, measured; never its length."""

import itertools

import numpy as np
import pytest

from models.training.phrases import Note, Voice, compose
from models.training.styles import Rank, Technique, add_vibrato, apply_technique, draw_register, play_ranks, tilt

RATE = 44_100


def _tone(hertz: float, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def _played(notes: list[Note], cents: float) -> np.ndarray:
    return sum((_tone(440.0 * 2 ** ((note.pitch - 69) / 12 + cents / 1200), 2.0) for note in notes), np.float32(0))


def _level_at(audio: np.ndarray, hertz: float) -> float:
    phasor = np.exp(-2j * np.pi * hertz * np.arange(len(audio)) / RATE)
    return float(2 * abs((audio * phasor).mean()))


def test_two_reeds_apart_beat_at_their_difference() -> None:
    cents = 1200 * np.log2(443.0 / 440.0)
    audio = play_ranks(_played, [Note(0.0, 2.0, 69, 100)], (Rank(), Rank(cents=float(cents))), 0.0)
    # 440 and 443 Hz: the level falls to nothing three times a second, halfway between the beats.
    envelope = np.array([np.abs(audio[i : i + 441]).max() for i in range(0, len(audio), 441)])
    silences = np.flatnonzero((envelope < 0.25) & (np.roll(envelope, 1) >= 0.25))
    assert len(silences) == 6
    assert envelope.max() == pytest.approx(2.0, abs=0.05)


def test_ranks_sound_where_and_as_loud_as_they_are_said_to() -> None:
    audio = play_ranks(_played, [Note(0.0, 2.0, 69, 100)], (Rank(), Rank(semitones=-12, gain=0.5)), 0.0)
    assert _level_at(audio, 440.0) == pytest.approx(1.0, abs=0.01)
    assert _level_at(audio, 220.0) == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ValueError, match="at least one rank"):
        play_ranks(_played, [], (), 0.0)


def test_registers_of_every_kind_are_drawn() -> None:
    registers = [draw_register(np.random.default_rng(seed)) for seed in range(60)]
    assert {len(register) for register in registers} == {1, 2, 3, 4}
    assert {rank.semitones for register in registers for rank in register} == {-12, 0, 12}
    beats = [abs(rank.cents) for register in registers for rank in register if rank.semitones == 0 and rank.cents]
    assert beats
    assert all(4.0 <= beat <= 22.0 for beat in beats)


def test_a_vibrato_swings_by_what_is_asked_and_moves_nothing() -> None:
    plain = _tone(880.0, 4.0)
    swinging = add_vibrato(plain, 5.0, 30.0, np.random.default_rng(0))
    assert swinging.shape == plain.shape
    assert np.abs(swinging).max() <= 1.02
    # The interval between zero crossings tells the pitch of each half period.
    crossings = np.flatnonzero(np.diff(np.signbit(swinging)))
    places = crossings + swinging[crossings] / (swinging[crossings] - swinging[crossings + 1])
    cents = 1200 * np.log2(RATE / (2 * np.diff(places[::8]) / 8) / 880.0)
    assert 20.0 < np.percentile(cents, 99) < 34.0
    assert -34.0 < np.percentile(cents, 1) < -20.0
    assert abs(len(crossings) - 4 * 2 * 880) <= 2


@pytest.mark.parametrize(("hertz", "octaves"), [(500.0, 0), (1000.0, 0), (2000.0, 1), (8000.0, 3)])
@pytest.mark.parametrize("db", [-4.0, 3.0])
def test_a_tilt_begins_at_1_khz(hertz: float, octaves: int, db: float) -> None:
    level = _level_at(tilt(_tone(hertz, 1.0), db), hertz)
    assert 20 * np.log10(level) == pytest.approx(db * octaves, abs=0.2)


def test_no_technique_leaves_the_sound_as_it_is() -> None:
    audio = _tone(440.0, 0.5)
    assert np.array_equal(apply_technique(audio, Technique(), np.random.default_rng(0)), audio)
    changed = apply_technique(audio, Technique(vibrato=1.0, tilt_db=3.0), np.random.default_rng(0))
    assert changed.shape == audio.shape
    assert not np.allclose(changed, audio, atol=0.01)


def test_rolled_phrases_are_strokes_within_time() -> None:
    rolled = compose(Voice(65, 90, rings=True, rolls=1.0), 20.0, np.random.default_rng(0))
    plain = compose(Voice(65, 90, rings=True), 20.0, np.random.default_rng(0))
    assert len(rolled) > 2 * len(plain)
    assert all(note.start_s >= 0.0 and note.start_s + note.duration_s <= 20.0 + 1e-9 for note in rolled)
    again = [b.start_s - a.start_s for a, b in itertools.pairwise(rolled) if a.pitch == b.pitch]
    assert 1 / 15 < np.median(again) < 1 / 9
