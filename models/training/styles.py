"""Ways of playing that a bare sample lacks: beating reeds, vibrato, softer and harder mallets, tuning.

Audio is mono float32 of shape (samples,) at 44.1 kHz. Which instrument is played how often in which way
is said beside its programs, in :mod:`models.training.solos`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.stft import SAMPLE_RATE
from models.training.phrases import Note

_VIBRATO_HZ = (4.2, 6.8)
_VIBRATO_CENTS = (8.0, 35.0)
_SWELL_HZ = (0.2, 0.8)  # a vibrato is not equally deep all the time
_TILT_KNEE_HZ = 1000.0

Play = Callable[[list[Note], float], NDArray[np.float32]]
"""From notes and a detuning in cents to sound."""


@dataclass(frozen=True, slots=True)
class Rank:
    """One set of reeds that sounds along with every key: how far away in pitch, and how loud."""

    semitones: int = 0
    cents: float = 0.0
    gain: float = 1.0


@dataclass(frozen=True, slots=True)
class Technique:
    """How an instrument is played beyond its notes. Shares are of solos."""

    vibrato: float = 0.0
    tilt_db: float = 0.0
    """Most dB an octave by which what lies above 1 kHz is lifted or lowered: hard and soft mallets, reeds, picks."""
    registers: bool = False
    """Whether an accordion's registers are drawn: one to four ranks of reeds, some an octave away, some beating."""


def draw_register(rng: np.random.Generator) -> tuple[Rank, ...]:
    """Draw the ranks of an accordion: a third a single reed, a third two or three that beat, a third with octaves.

    Beating reeds are 4 to 22 cents apart (from a dry "swing" to an old French musette).
    """
    beat = float(rng.uniform(4.0, 22.0))
    kind = int(rng.integers(3))
    if kind == 0:
        return (Rank(),)
    if kind == 1:
        above, below = Rank(cents=beat), Rank(cents=-beat)
        return (Rank(), above) if rng.random() < 0.5 else (below, Rank(), above)
    ranks = [Rank(), Rank(semitones=-12, cents=float(rng.normal(0.0, 2.0)), gain=float(rng.uniform(0.4, 1.0)))]
    if rng.random() < 0.5:
        ranks.append(Rank(semitones=12, cents=float(rng.normal(0.0, 2.0)), gain=float(rng.uniform(0.2, 0.7))))
    if rng.random() < 0.5:
        ranks.append(Rank(cents=beat))
    return tuple(ranks)


def play_ranks(play: Play, notes: list[Note], ranks: tuple[Rank, ...], detune_cents: float) -> NDArray[np.float32]:
    """Play `notes` on every rank, and return the sum."""
    total: NDArray[np.float32] | None = None
    for rank in ranks:
        moved = [replace(note, pitch=min(127, max(0, note.pitch + rank.semitones))) for note in notes]
        sound = play(moved, detune_cents + rank.cents) * np.float32(rank.gain)
        total = sound if total is None else total + sound
    if total is None:
        raise ValueError("an instrument has at least one rank")
    return total


def apply_technique(audio: NDArray[np.float32], technique: Technique, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw what of `technique` this solo has, and return the solo with it, of the same length."""
    if rng.random() < technique.vibrato:
        audio = add_vibrato(audio, float(rng.uniform(*_VIBRATO_HZ)), float(rng.uniform(*_VIBRATO_CENTS)), rng)
    if technique.tilt_db:
        audio = tilt(audio, float(rng.uniform(-technique.tilt_db, technique.tilt_db)))
    return audio


def add_vibrato(
    audio: NDArray[np.float32], rate_hz: float, depth_cents: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Let the pitch swing by `depth_cents` either way, now more and now less; length and onsets stay (to 1 ms)."""
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to import

    n = len(audio)
    t = np.arange(n) / SAMPLE_RATE
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * (float(rng.uniform(*_SWELL_HZ)) * t + float(rng.uniform())))
    # A place that sways by a sine of amplitude a moves at speeds 1 ± 2 pi f a: that is the interval.
    amplitude = (2.0 ** (depth_cents / 1200.0) - 1.0) / (2 * np.pi * rate_hz) * SAMPLE_RATE
    places = np.arange(n) + amplitude * swell * np.sin(2 * np.pi * (rate_hz * t + float(rng.uniform())))
    return np.asarray(map_coordinates(audio, places[None, :], order=3, mode="nearest"), dtype=np.float32)


def tilt(audio: NDArray[np.float32], db_per_octave: float) -> NDArray[np.float32]:
    """Lift or lower what lies above 1 kHz by so many dB an octave, with zero phase."""
    from scipy.fft import irfft, next_fast_len, rfft  # noqa: PLC0415 - slow to import

    size = next_fast_len(len(audio), real=True)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE), _TILT_KNEE_HZ) / _TILT_KNEE_HZ)
    gain = (10.0 ** (db_per_octave * octaves / 20.0)).astype(np.float32)
    return np.asarray(irfft(rfft(audio, size) * gain, size)[: len(audio)], dtype=np.float32)
