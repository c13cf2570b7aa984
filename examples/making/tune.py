"""The sound: Beethoven's Ode to Joy (1824, public domain) for trumpet, with our own guitar accompaniment.

Pitches are MIDI note numbers (69 is A at 440 Hz), times and lengths are in beats from the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 44_100  # Hz
BEAT_S = 0.4  # seconds a beat: 150 beats a minute
# Whole AAC frames of 1,024 samples: the file then ends where the sound does, whatever the player trims.
SAMPLES = 600 * 1024  # 13.93 s
PICKUP_BEATS = 2  # the guitar alone, before the trumpet enters

TRUMPET_PROGRAM = 56  # General MIDI, counted from 0
GUITAR_PROGRAM = 24  # nylon strings, as in the picture
TRUMPET_LEGATO = 0.88  # part of its beat that a note is held
GUITAR_RING_BEATS = 2.0  # a plucked string goes on until its chord changes
STRUM_BEATS = 0.06  # from string to string

MIX_PEAK = 0.8  # of full scale: room for the overshoot of the AAC encoder
TRUMPET_OVER_GUITAR = 1.0  # ratio of their root mean squares

_PHRASE = (71, 71, 72, 74, 74, 72, 71, 69, 67, 67, 69, 71)
_MELODY = (  # (pitch, beats)
    *((pitch, 1.0) for pitch in _PHRASE),
    *((71, 1.5), (69, 0.5), (69, 2.0)),
    *((pitch, 1.0) for pitch in _PHRASE),
    *((69, 1.5), (67, 0.5), (67, 2.0)),
)
_G, _G_UP = (43, 55, 59, 62), (50, 55, 59, 67)
_D7, _D7_LOW = (50, 57, 60, 66), (45, 57, 60, 66)
_E_MINOR = (40, 55, 59, 64)
_LINE = (_G, _G_UP, _D7, _D7_LOW, _E_MINOR, _G_UP)
_CHORDS = (_G, *_LINE, _G, _D7, *_LINE, _D7)  # two beats each: bass, then the upper strings one by one
_LAST_CHORD = (43, 47, 50, 55, 59, 67)


@dataclass(frozen=True, slots=True)
class Note:
    """One note: when it starts and how long it is held (beats), MIDI pitch, strength 0..1."""

    start: float
    beats: float
    pitch: int
    strength: float


def trumpet() -> list[Note]:
    """Return the melody, in order of time; the first note of each bar is a little stronger."""
    notes = []
    beat = float(PICKUP_BEATS)
    for pitch, beats in _MELODY:
        on_the_bar = (beat - PICKUP_BEATS) % 4 == 0
        notes.append(Note(beat, beats * TRUMPET_LEGATO, pitch, 0.86 if on_the_bar else 0.76))
        beat += beats
    return notes


def guitar() -> list[Note]:
    """Return the accompaniment, in order of time: broken chords, and a full one at the end."""
    notes = []
    for number, chord in enumerate(_CHORDS):
        for string, pitch in enumerate(chord):
            strength = 0.8 if string == 0 else 0.66
            notes.append(Note(2.0 * number + 0.5 * string, GUITAR_RING_BEATS - 0.5 * string, pitch, strength))
    end = 2.0 * len(_CHORDS)
    notes += [Note(end + STRUM_BEATS * i, 4.0, pitch, 0.74) for i, pitch in enumerate(_LAST_CHORD)]
    return notes


def render(synthesizer: ModuleType, soundfont: Path, program: int, notes: list[Note]) -> NDArray[np.float64]:
    """Play `notes` on one instrument of the soundfont, dry (no reverb, no chorus).

    Parameters
    ----------
    synthesizer : module
        tinysoundfont.
    soundfont : Path
        An .sf2 file.
    program : int
        General MIDI program, counted from 0.
    notes : list of Note

    Returns
    -------
    np.ndarray [shape=(SAMPLES,), float64]
        Sound at SAMPLE_RATE, at the soundfont's own level.
    """
    synth = synthesizer.Synth(gain=-12, samplerate=SAMPLE_RATE)
    synth.program_select(0, synth.sfload(str(soundfont)), 0, program)
    strikes = [(_sample(note.start), 1, note) for note in notes]
    releases = [(_sample(note.start + note.beats), 0, note) for note in notes]
    pieces = []
    now = 0
    # Releases first where both fall on one sample: a repeated pitch must not be cut by its own predecessor.
    for at, strike, note in sorted(strikes + releases, key=lambda event: event[:2]):
        if min(at, SAMPLES) > now:
            pieces.append(_play(synth, min(at, SAMPLES) - now))
            now = min(at, SAMPLES)
        if strike:
            synth.noteon(0, note.pitch, round(127 * note.strength))
        else:
            synth.noteoff(0, note.pitch)
    if now < SAMPLES:
        pieces.append(_play(synth, SAMPLES - now))
    return np.concatenate(pieces)


def balance(left: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Bring both parts to one loudness and their sum to MIX_PEAK.

    Parameters
    ----------
    left, right : np.ndarray [shape=(samples,), float64]

    Returns
    -------
    tuple of two np.ndarray [shape=(samples,), int16]
        Their sum stays inside 16 bits, so left + right is the mix to the bit.
    """
    left = left * (TRUMPET_OVER_GUITAR / _rms(left))
    right = right / _rms(right)
    gain = MIX_PEAK * np.iinfo(np.int16).max / float(np.abs(left + right).max())
    return np.round(gain * left).astype(np.int16), np.round(gain * right).astype(np.int16)


def _sample(beat: float) -> int:
    return round(beat * BEAT_S * SAMPLE_RATE)


def _play(synth: object, samples: int) -> NDArray[np.float64]:
    heard = np.frombuffer(synth.generate(samples), dtype=np.float32)  # type: ignore[attr-defined]  # untyped module
    # (samples * 2,) interleaved -> (samples, 2) -> mono
    mono: NDArray[np.float64] = heard.reshape(-1, 2).mean(axis=1, dtype=np.float64)
    return mono


def _rms(sound: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(sound**2)))
