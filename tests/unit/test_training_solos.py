"""Solos: the report's layout read, and made from notes and performances."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.errors import TrainingDataError
from models.training.notes import list_notes
from models.training.phrases import Note
from models.training.rendering import NotePlayer, add_room, set_peak
from models.training.solos import Palette, list_solos, make_solos

RATE = 44_100


def _tone(path: Path, pitch: float, seconds: float, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    hertz = 440.0 * 2.0 ** ((pitch - 69) / 12)
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate), rate)
    return path


def _loudest_hertz(audio: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.argmax(spectrum) * RATE / len(audio))


@pytest.mark.parametrize("layout", ["", "audios/solo"])
def test_the_reports_layout_is_read(layout: str, tmp_path: Path) -> None:
    _tone(tmp_path / layout / "violin" / "1.wav", 69, 0.1)
    _tone(tmp_path / layout / "cello" / "2.flac", 69, 0.1)
    (tmp_path / layout / "cello" / "notes.txt").write_text("not sound")
    (tmp_path / layout / "kazoo").mkdir()
    assert [(solo.instrument, solo.path.name, solo.origin) for solo in list_solos(tmp_path)] == [
        ("cello", "2.flac", "solos"),
        ("violin", "1.wav", "solos"),
    ]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"there is no folder '.*nowhere'"):
        list_solos(tmp_path / "nowhere")


def test_a_folder_without_instruments_says_which_are_wanted(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"named after an instrument.*accordion.*violin"):
        list_solos(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    _tone(tmp_path / "violin" / "1.wav", 69, 0.1)
    (tmp_path / "cello").mkdir()
    with pytest.raises(TrainingDataError, match="folder of cello holds no sound file"):
        list_solos(tmp_path)


@pytest.mark.parametrize(("asked", "sounds"), [(69, 69), (71, 71), (76, 69)])
def test_a_recorded_note_is_shifted_by_a_whole_tone_at_most(asked: int, sounds: int, tmp_path: Path) -> None:
    player = NotePlayer(list_notes([_tone(tmp_path / "A4.wav", 69, 2.0)], ""))
    audio = player.play([Note(0.0, 1.0, asked, 127)], 1.0, rings=False, rng=np.random.default_rng(0))
    assert audio.shape == (RATE,)
    assert _loudest_hertz(audio) == pytest.approx(440.0 * 2.0 ** ((sounds - 69) / 12), abs=1.0)


def test_a_player_says_what_it_can_reach(tmp_path: Path) -> None:
    notes = list_notes([_tone(tmp_path / "A4.wav", 69, 0.3), _tone(tmp_path / "C5.wav", 72, 0.3)], "")
    assert NotePlayer(notes).range == (67, 74)
    assert NotePlayer(list_notes([_tone(tmp_path / "some note.wav", 69, 0.3)], "")).range is None
    with pytest.raises(TrainingDataError, match="holds no sound file"):
        NotePlayer([])


def test_a_room_adds_a_tail_of_the_energy_asked_for() -> None:
    dry = np.zeros(2 * RATE, np.float32)
    dry[0] = 1.0
    wet = add_room(dry, wet=0.25, rt60_s=0.5, rng=np.random.default_rng(0))
    assert wet[0] == pytest.approx(1.0, abs=1e-4)
    assert float(np.square(wet[1:]).sum()) == pytest.approx(0.25, rel=1e-3)
    early, late = np.square(wet[RATE // 100 : RATE // 10]).sum(), np.square(wet[RATE // 10 : RATE // 2]).sum()
    assert early > late > 0


def test_nothing_can_be_scaled_up_from_silence() -> None:
    with pytest.raises(TrainingDataError, match="silent"):
        set_peak(np.zeros(10, np.float32), 1.0)


@pytest.fixture
def palette(tmp_path: Path) -> Palette:
    palette = Palette()
    for collection, pitches in (("wide", range(55, 79)), ("narrow", range(60, 66))):
        names = [tmp_path / "notes" / collection / f"{2.0 ** ((p - 69) / 12) * 440:.3f}.wav" for p in pitches]
        files = [_tone(path, pitch, 0.4) for path, pitch in zip(names, pitches, strict=True)]
        palette.add("flute", collection, list_notes(files, collection))
    piece = _tone(tmp_path / "piece.wav", 69, 70.0)
    palette.add("violin", "tonescape", list_notes([piece], "tonescape"))
    palette.add("violin", "open strings", list_notes([_tone(tmp_path / "G3.wav", 55, 0.5)], ""))
    return palette


def test_classes_are_balanced_and_nothing_performed_is_used_twice(palette: Palette, tmp_path: Path) -> None:
    solos = make_solos(palette, tmp_path / "out", minutes_per_class=4.0, seed=3)
    origins = Counter((solo.instrument, solo.origin) for solo in solos)
    assert Counter(solo.instrument for solo in solos) == {"flute": 8, "violin": 8}
    # 24 pitches against 6: four times the weight, six being the least that counts.
    assert origins["flute", "wide"] == 6
    assert origins["flute", "narrow"] == 2
    # 70 s hold two excerpts of 30 s; the rest would repeat them.
    assert origins["violin", "tonescape"] == 2
    assert origins["violin", "open strings"] == 6


def test_the_same_seed_makes_the_same_solos_and_resumes(palette: Palette, tmp_path: Path) -> None:
    first = make_solos(palette, tmp_path / "one", minutes_per_class=1.0, seed=3)
    again = make_solos(palette, tmp_path / "two", minutes_per_class=1.0, seed=3)
    other = make_solos(palette, tmp_path / "three", minutes_per_class=1.0, seed=4)
    sounds = [[soundfile.read(solo.path)[0] for solo in solos] for solos in (first, again, other)]
    assert all(np.array_equal(a, b) for a, b in zip(sounds[0], sounds[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(sounds[0], sounds[2], strict=True))
    missing = first[1].path
    kept = first[0].path.stat().st_mtime_ns
    missing.unlink()
    make_solos(palette, tmp_path / "one", minutes_per_class=1.0, seed=3)
    assert np.array_equal(soundfile.read(missing)[0], sounds[0][1])
    assert first[0].path.stat().st_mtime_ns == kept


def test_no_sound_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="no sound to make solos from"):
        make_solos(Palette(), tmp_path, minutes_per_class=1.0, seed=0)
