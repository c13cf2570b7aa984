"""Single recorded notes: what pitch each sounds, and how it is read.

A pitch is a MIDI number (69 is A4, 440 Hz). Audio is mono float32 of shape (samples,) at 44.1 kHz.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.recordings import AUDIO_SUFFIXES, read_mono

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "s": 1, "#": 1, "b": -1}
# "A4.wav", "Gs2 v2.wav", "bb3_p_rr1_dnm.flac", "guitar_As2_very-long_forte_normal.flac"
_NAMED = re.compile(r"^(?:[a-z]{3,}[_-])?([A-Ga-g])([s#b]?)(-?\d)(?![\d.])")
_HERTZ = re.compile(r"^(\d+\.\d+)$")

# Sets whose names are an octave below what they sound (measured against the spectrum).
_OCTAVE_LOW = frozenset({"weresax", "vcsl-xylophone"})
# Single files whose names are wrong (measured), as (set, stem): the pitch that they sound.
_MISNAMED = {
    ("tonejs-trumpet", "C3"): 60,
    ("tonejs-trumpet", "As3"): 70,
    ("tonejs-cello", "As4"): 71,
    ("tonejs-guitar-nylon", "D5"): 75,
}
_ONSET_FRACTION = 0.03
_ONSET_MARGIN_S = 0.01
MAX_NOTE_S = 20.0
"""Longer files are performances, not notes."""


@dataclass(frozen=True, slots=True)
class NoteFile:
    """One recorded note; `pitch` is None where the file's name tells none."""

    path: Path
    pitch: float | None


def parse_pitch(stem: str, collection: str = "") -> float | None:
    """Return the MIDI pitch that a note file's name tells, corrected for sets known to be misnamed.

    Parameters
    ----------
    stem
        The file's name without its suffix: a note (``As4``, ``cello_A2_05_...``) or hertz (``110.074``).
    collection
        The set that the file belongs to, whose known errors are put right.
    """
    if (collection, stem) in _MISNAMED:
        return float(_MISNAMED[collection, stem])
    if match := _HERTZ.match(stem):
        return 69.0 + 12.0 * math.log2(float(match[1]) / 440.0)
    match = _NAMED.match(stem)
    if match is None:
        return None
    letter, accidental, octave = match[1].upper(), match[2], int(match[3])
    pitch = 12 * (octave + 1) + _SEMITONES[letter] + _ACCIDENTALS[accidental]
    return float(pitch + 12 if collection in _OCTAVE_LOW else pitch)


def list_notes(files: list[Path], collection: str) -> list[NoteFile]:
    """Return the notes among `files`, in the order given, each with its pitch where its name tells one."""
    return [
        NoteFile(path, parse_pitch(path.stem, collection)) for path in files if path.suffix.lower() in AUDIO_SUFFIXES
    ]


def read_note(path: Path) -> NDArray[np.float32]:
    """Return a note from just before its onset, scaled to a peak of 1.

    Returns
    -------
    np.ndarray [shape=(samples,), float32], mono at 44.1 kHz

    Raises
    ------
    TrainingDataError
        If the file cannot be read, is not finite or is silent.
    """
    audio = read_mono(path)
    level = np.abs(audio)
    peak = float(level.max())
    onset = int(np.argmax(level > _ONSET_FRACTION * peak))
    start = max(0, onset - int(_ONSET_MARGIN_S * 44_100))
    return np.asarray(audio[start:] / peak, dtype=np.float32)
