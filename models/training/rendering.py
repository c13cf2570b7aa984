"""Players that turn composed notes into sound: a soundfont, a set of recorded notes; and a simple room.

Audio is mono float32 of shape (samples,) at 44.1 kHz.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import SourceUnavailable, TrainingDataError
from models.stft import SAMPLE_RATE
from models.training.notes import NoteFile, read_note
from models.training.phrases import Note

_TAIL_S = 1.0
_FADE_S = 0.04
_RINGING_FADE_S = 0.25
_MAX_SHIFT = 2.0
"""Semitones that a recorded note may be shifted: further away it sounds like another instrument."""
_NEAR_CHOICES = 4
_MIN_PEAK = 1e-5


class SoundFontPlayer:
    """Plays notes on one or more soundfonts, each loaded once, dry (no reverb, no chorus)."""

    def __init__(self, renderer: Path, fonts: dict[str, Path]) -> None:
        """Load the fonts.

        Parameters
        ----------
        renderer
            The folder of the unpacked `tinysoundfont` wheel; not needed where that is installed.
        fonts
            Soundfont files (.sf2) by name.

        Raises
        ------
        SourceUnavailable
            If the renderer does not load on this machine, or a font is damaged.
        """
        module = _load_renderer(renderer)
        self._synths: dict[str, tuple[Any, int]] = {}
        for name, path in fonts.items():
            synth = module.Synth(samplerate=SAMPLE_RATE)
            try:
                font = synth.sfload(str(path))
            except Exception as error:  # the renderer raises its own class, and bare Exception in places
                raise SourceUnavailable(
                    f"the soundfont {path.name!r} cannot be loaded ({error}): remove it from the cache and try again"
                ) from error
            self._synths[name] = (synth, font)

    def play(
        self, font: str, program: int, notes: list[Note], seconds: float, detune_cents: float = 0.0
    ) -> NDArray[np.float32]:
        """Render `notes` with General MIDI `program` (0 to 127) of `font`.

        Returns
        -------
        np.ndarray [shape=(seconds * 44100,), float32], full scale not bounded
        """
        synth, identifier = self._synths[font]
        synth.program_select(0, identifier, 0, program)
        synth.sounds_off()
        synth.set_tuning(0, detune_cents / 100.0)
        total = round(seconds * SAMPLE_RATE)
        out = np.zeros(total, np.float32)
        place = 0
        for sample, sounds, pitch, velocity in _timeline(notes, total):
            if sample > place:
                out[place:sample] = self._generate(synth, sample - place)
                place = sample
            if sounds:
                synth.noteon(0, pitch, velocity)
            else:
                synth.noteoff(0, pitch)
        if place < total:
            out[place:] = self._generate(synth, total - place)
        # The next recording must not begin with this one's tail.
        synth.sounds_off()
        self._generate(synth, round(_TAIL_S * SAMPLE_RATE))
        return out

    @staticmethod
    def _generate(synth: Any, samples: int) -> NDArray[np.float32]:
        interleaved = np.frombuffer(bytes(synth.generate(samples)), dtype=np.float32)
        # (samples * 2,) -> (samples, 2) -> (samples,)
        return np.asarray(interleaved.reshape(-1, 2).mean(axis=1), dtype=np.float32)


class NotePlayer:
    """Plays notes with recordings of single notes, each the nearest in pitch that there is."""

    def __init__(self, notes: list[NoteFile]) -> None:
        """Read the notes; those that are silent or unreadable are an error.

        Raises
        ------
        TrainingDataError
            If a note cannot be used, or there is none.
        """
        if not notes:
            raise TrainingDataError("a set of notes holds no sound file: add WAV, FLAC or MP3 files, or leave it out")
        self._audio = [read_note(note.path) for note in notes]
        self._pitches = np.array([np.nan if note.pitch is None else note.pitch for note in notes])
        self._shifted: dict[tuple[int, int], NDArray[np.float32]] = {}

    @property
    def range(self) -> tuple[int, int] | None:
        """The lowest and the highest pitch that can be played, or None if no note's pitch is known."""
        known = self._pitches[~np.isnan(self._pitches)]
        if known.size == 0:
            return None
        return int(np.ceil(known.min() - _MAX_SHIFT)), int(np.floor(known.max() + _MAX_SHIFT))

    def play(
        self,
        notes: list[Note],
        seconds: float,
        *,
        rings: bool,
        rng: np.random.Generator,
        detune_cents: float = 0.0,
    ) -> NDArray[np.float32]:
        """Render `notes`, choosing at random among the recordings nearest in pitch, all `detune_cents` off.

        Returns
        -------
        np.ndarray [shape=(seconds * 44100,), float32], full scale not bounded
        """
        total = round(seconds * SAMPLE_RATE)
        out = np.zeros(total, np.float32)
        fade = _RINGING_FADE_S if rings else _FADE_S
        for note in notes:
            start = round(note.start_s * SAMPLE_RATE)
            audio = self._choose(note, rng, detune_cents)
            length = min(len(audio), round((note.duration_s + fade) * SAMPLE_RATE), total - start)
            if length <= 0:
                continue
            sound = audio[:length] * np.float32((note.velocity / 127.0) ** 1.5)
            closing = min(length, round(fade * SAMPLE_RATE))
            sound[length - closing :] *= np.linspace(1.0, 0.0, closing, dtype=np.float32)
            out[start : start + length] += sound
        return out

    def _choose(self, note: Note, rng: np.random.Generator, detune_cents: float) -> NDArray[np.float32]:
        distance = np.abs(self._pitches - note.pitch)
        if np.isnan(distance).all():
            return self._shift(int(rng.integers(len(self._audio))), detune_cents)
        distance = np.where(np.isnan(distance), np.inf, distance)
        # Among equally near recordings any will do: other dynamics, other lengths.
        near = np.flatnonzero(distance <= distance.min() + 0.5)
        long_enough = [i for i in near if len(self._audio[i]) >= 0.8 * note.duration_s * SAMPLE_RATE]
        candidates = long_enough or sorted(near, key=lambda i: -len(self._audio[i]))[:_NEAR_CHOICES]
        chosen = int(candidates[int(rng.integers(len(candidates)))])
        shift = note.pitch - round(float(self._pitches[chosen]))
        return self._shift(chosen, detune_cents + (100.0 * shift if abs(shift) <= _MAX_SHIFT else 0.0))

    def _shift(self, index: int, cents: float) -> NDArray[np.float32]:
        """A recording played faster or slower; to whole cents, so that few are made."""
        key = (index, round(cents))
        if key[1] == 0:
            return self._audio[index]
        if key not in self._shifted:
            import librosa  # noqa: PLC0415 - slow to import

            rate = SAMPLE_RATE * 2.0 ** (key[1] / 1200.0)
            self._shifted[key] = np.asarray(
                librosa.resample(self._audio[index], orig_sr=rate, target_sr=SAMPLE_RATE), dtype=np.float32
            )
        return self._shifted[key]

    def forget(self) -> None:
        """Drop the shifted copies: another tuning has no use for them."""
        self._shifted.clear()


def add_room(audio: NDArray[np.float32], wet: float, rt60_s: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Put a dry recording into a simple room: exponentially decaying noise as its impulse response.

    Parameters
    ----------
    audio : np.ndarray [shape=(samples,), float32]
    wet : float
        Energy of the reverberation relative to that of the dry sound.
    rt60_s : float
        Seconds in which the reverberation falls by 60 dB.

    Returns
    -------
    np.ndarray [shape=(samples,), float32]
    """
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    samples = round(rt60_s * SAMPLE_RATE)
    decay = np.exp(-np.log(1000.0) * np.arange(samples) / samples)
    response = rng.standard_normal(samples) * decay
    # The first reflections come later than the direct sound.
    response[: round(0.008 * SAMPLE_RATE)] = 0.0
    response *= np.sqrt(wet) / np.linalg.norm(response)
    reverberation = fftconvolve(audio, response.astype(np.float32))[: len(audio)]
    return np.asarray(audio + reverberation, dtype=np.float32)


def set_peak(audio: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    """Return `audio` scaled so that its largest sample is `peak` (full scale 1); silence is an error.

    Raises
    ------
    TrainingDataError
        If there is nothing to scale.
    """
    largest = float(np.abs(audio).max(initial=0.0))
    if largest < _MIN_PEAK:
        raise TrainingDataError("a rendered solo came out silent: its notes lie outside what the source can play")
    return np.asarray(audio * (peak / largest), dtype=np.float32)


def _timeline(notes: list[Note], total: int) -> list[tuple[int, bool, int, int]]:
    """(sample, sounds, pitch, velocity) in the order of time, ends before beginnings."""
    events: list[tuple[int, bool, int, int]] = []
    for note in notes:
        start = round(note.start_s * SAMPLE_RATE)
        end = round((note.start_s + note.duration_s) * SAMPLE_RATE)
        if start < total:
            events.append((start, True, note.pitch, note.velocity))
            events.append((min(end, total), False, note.pitch, 0))
    return sorted(events)


def _load_renderer(folder: Path) -> Any:
    try:
        return importlib.import_module("tinysoundfont")
    except ImportError:
        pass
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("tinysoundfont")
    except ImportError as error:
        raise SourceUnavailable(
            f"the renderer tinysoundfont does not load here ({error}): install it with "
            "'pip install --no-deps tinysoundfont', or train without soundfonts (--sources)"
        ) from error
    finally:
        sys.path.remove(str(folder))
