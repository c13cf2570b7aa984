"""Single notes: pitches from names, and reading from the onset."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.training.notes import list_notes, parse_pitch, read_note

RATE = 44_100


@pytest.mark.parametrize(
    ("stem", "collection", "pitch"),
    [
        ("A4", "", 69),
        ("As4", "", 70),
        ("C2", "tonejs-cello", 36),
        ("G2 v2", "tonejs-cello", 43),
        ("cello_A2_05_fortissimo_arco-normal", "philharmonia", 45),
        ("guitar_As2_very-long_forte_normal", "philharmonia", 46),
        ("bb3_p_rr2_cnd", "weresax", 70),
        ("db2_p_rr2_dnm", "weresax", 49),
        ("C3_ff", "vcsl-xylophone", 60),
        ("C3-ff", "vcsl-marimba", 48),
        ("440.0", "kyster", 69),
        # names known to be wrong
        ("C3", "tonejs-trumpet", 60),
        ("As3", "tonejs-trumpet", 70),
        ("As4", "tonejs-cello", 71),
        ("D5", "tonejs-guitar-nylon", 75),
        ("take one", "", None),
        ("0001", "", None),
    ],
)
def test_a_name_tells_the_pitch(stem: str, collection: str, pitch: float | None) -> None:
    found = parse_pitch(stem, collection)
    assert found == (None if pitch is None else pytest.approx(pitch, abs=1e-6))


def test_hertz_between_two_keys_keep_their_fraction() -> None:
    assert parse_pitch("110.074") == pytest.approx(45.0116, abs=1e-3)


def test_files_that_are_no_sound_are_left_out(tmp_path: Path) -> None:
    notes = list_notes([tmp_path / "A4.wav", tmp_path / "README.md", tmp_path / "C4.MP3"], "")
    assert [(note.path.name, note.pitch) for note in notes] == [("A4.wav", 69.0), ("C4.MP3", 60.0)]


def test_a_note_begins_at_its_onset_with_a_peak_of_one(tmp_path: Path) -> None:
    silence = np.zeros(RATE // 2)
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    soundfile.write(tmp_path / "A4.wav", np.concatenate([silence, tone]), RATE)
    note = read_note(tmp_path / "A4.wav")
    assert len(note) == pytest.approx(RATE + 0.01 * RATE, abs=20)
    assert np.abs(note).max() == pytest.approx(1.0)
