"""Composed phrases: within the voice's range and the time given, over the whole range, the same by seed."""

import numpy as np
import pytest

from models.training.phrases import Voice, compose

VOICES = {
    "flute": Voice(60, 94),
    "guitar": Voice(40, 80, chords=0.3, doubles=0.3, rings=True),
    "two notes": Voice(60, 61),
    "one note": Voice(60, 60),
}


@pytest.mark.parametrize("voice", VOICES.values(), ids=VOICES.keys())
@pytest.mark.parametrize("seed", range(4))
def test_notes_stay_within_range_and_time(voice: Voice, seed: int) -> None:
    notes = compose(voice, 30.0, np.random.default_rng(seed))
    assert notes
    for note in notes:
        assert voice.low <= note.pitch <= voice.high
        assert 0.0 <= note.start_s < 30.0
        assert note.duration_s > 0.0
        assert note.start_s + note.duration_s <= 30.0 + 1e-9
        assert 1 <= note.velocity <= 127


def test_the_same_seed_composes_the_same() -> None:
    first, again, other = (compose(VOICES["flute"], 20.0, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_the_whole_range_is_played() -> None:
    voice = VOICES["flute"]
    rng = np.random.default_rng(0)
    played = {note.pitch for _ in range(20) for note in compose(voice, 30.0, rng)}
    assert played == set(range(voice.low, voice.high + 1))


def test_chords_come_only_where_the_instrument_has_them() -> None:
    def most_at_once(voice: Voice) -> int:
        starts = [note.start_s for note in compose(voice, 60.0, np.random.default_rng(1))]
        return max(starts.count(start) for start in starts)

    assert most_at_once(VOICES["flute"]) == 1
    assert most_at_once(VOICES["guitar"]) >= 3
