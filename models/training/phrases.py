"""Composing what a soloist might practise: scales, arpeggios, melodies and chords over the whole range.

Times are in seconds from the start of the phrase, pitches MIDI numbers, velocities 1 to 127.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SCALES = (
    (0, 2, 4, 5, 7, 9, 11),  # major
    (0, 2, 3, 5, 7, 8, 11),  # harmonic minor
    (0, 2, 4, 7, 9),  # pentatonic
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),  # chromatic
)
_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 10), (0, 7, 12))
_INTERVALS = (3, 4, 5, 7, 8, 9, 12)
_BEATS = (0.25, 0.5, 0.5, 1.0, 1.0, 2.0)
_TEMPO_BPM = (66.0, 168.0)
_REST_S = (0.1, 0.6)
_VELOCITY = (40, 118)
_WINDOW = 14
"""Semitones that one phrase moves in; the next phrase moves elsewhere, so that the whole range is played."""
_STROKES_PER_S = (9.0, 15.0)


@dataclass(frozen=True, slots=True)
class Note:
    """One note to be played."""

    start_s: float
    duration_s: float
    pitch: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Voice:
    """What an instrument can play: its range (MIDI pitches, both included) and how it sounds several at once."""

    low: int
    high: int
    chords: float = 0.0
    """Share of beats with a full chord."""
    doubles: float = 0.0
    """Share of beats with two notes."""
    rings: bool = False
    """Whether a note is struck or plucked and then rings, so that its end is not played."""
    rolls: float = 0.0
    """Share of phrases whose notes are rolled: struck again and again for as long as they last."""


def compose(voice: Voice, seconds: float, rng: np.random.Generator) -> list[Note]:
    """Return notes that fill `seconds`, ordered by start, all within the voice's range.

    The same generator state gives the same notes.
    """
    notes: list[Note] = []
    now = 0.0
    while now < seconds:
        phrase, length = _phrase(voice, rng)
        notes.extend(
            Note(now + note.start_s, min(note.duration_s, seconds - now - note.start_s), note.pitch, note.velocity)
            for note in phrase
            if now + note.start_s < seconds - 0.05
        )
        now += length + rng.uniform(*_REST_S)
    return notes


def _phrase(voice: Voice, rng: np.random.Generator) -> tuple[list[Note], float]:
    """One phrase from time 0, and its length in seconds: one key, one tempo, one articulation, one dynamic."""
    beat_s = 60.0 / rng.uniform(*_TEMPO_BPM)
    # Windows may hang over the ends of the range, or its outermost notes would hardly be played.
    lowest = int(rng.integers(voice.low - _WINDOW // 2, max(voice.low, voice.high - _WINDOW // 2) + 1))
    lowest, highest = max(voice.low, lowest), min(voice.high, lowest + _WINDOW)
    scale = _SCALES[rng.integers(len(_SCALES))]
    key = int(rng.integers(12))
    ladder = [pitch for pitch in range(lowest, highest + 1) if (pitch - key) % 12 in scale] or [lowest]
    articulation = float(rng.choice((0.45, 0.9, 1.03)))
    velocity = float(rng.uniform(*_VELOCITY))
    swell = float(rng.uniform(-25.0, 25.0))
    count = int(rng.integers(6, 17))
    rungs = _walk(len(ladder), count, rng)
    even = bool(rng.random() < 0.5)
    even_beats = float(rng.choice((0.5, 1.0)))

    notes: list[Note] = []
    now = 0.0
    for position, rung in enumerate(rungs):
        length = beat_s * (even_beats if even else float(rng.choice(_BEATS)))
        if not even and rng.random() < 0.08:
            now += length
            continue
        sounding = length * (2.0 if voice.rings else articulation)
        loud = int(np.clip(velocity + swell * position / count + rng.normal(0.0, 4.0), 20, 127))
        notes.extend(
            Note(now, sounding, pitch, loud) for pitch in _together(ladder[rung], voice, rng) if pitch <= voice.high
        )
        now += length
    if rng.random() < voice.rolls:
        notes = _rolled(notes, 1.0 / rng.uniform(*_STROKES_PER_S), rng)
    return notes, now


def _rolled(notes: list[Note], every_s: float, rng: np.random.Generator) -> list[Note]:
    """Each note as strokes of two mallets in turn, one of which is a little weaker."""
    strokes = []
    for note in notes:
        # A note that rings sounds for twice its length; the strokes end where the next note begins.
        for number in range(max(1, round(note.duration_s / 2 / every_s))):
            loud = int(np.clip(note.velocity - 8 * (number % 2) + rng.normal(0.0, 4.0), 20, 127))
            strokes.append(Note(note.start_s + number * every_s, 2 * every_s, note.pitch, loud))
    return sorted(strokes, key=lambda stroke: stroke.start_s)


def _walk(rungs: int, count: int, rng: np.random.Generator) -> list[int]:
    """Indices into the ladder: a scale, an arpeggio or a melody."""
    kind = int(rng.integers(3))
    if kind == 0 or rungs == 1:
        there_and_back = [*range(rungs), *range(rungs - 2, 0, -1)]
        offset = int(rng.integers(len(there_and_back)))
        return [there_and_back[(offset + step) % len(there_and_back)] for step in range(count)]
    if kind == 1:
        start = int(rng.integers(rungs))
        return [(start + 2 * step) % rungs for step in range(count)]
    place = int(rng.integers(rungs))
    walk = []
    for _ in range(count):
        walk.append(place)
        place = int(np.clip(place + rng.choice((-4, -2, -1, -1, 0, 1, 1, 2, 4)), 0, rungs - 1))
    return walk


def _together(pitch: int, voice: Voice, rng: np.random.Generator) -> list[int]:
    draw = rng.random()
    if draw < voice.chords:
        return [pitch + step for step in _CHORDS[rng.integers(len(_CHORDS))]]
    if draw < voice.chords + voice.doubles:
        return [pitch, pitch + int(_INTERVALS[rng.integers(len(_INTERVALS))])]
    return [pitch]
