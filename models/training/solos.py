"""Solo recordings to learn from, in the report's layout ``audios/solo/<instrument>/<n>.flac``.

Those that users have are read as they are. Those made here are drawn from the sources: the same
seed, minutes and sources give the same recordings. Classes get equal time; within a class, soundfonts
share one half and real notes the other, each set in proportion to the pitches it covers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingDataError
from models.instruments import NAMES, index_of
from models.stft import SAMPLE_RATE
from models.training.notes import MAX_NOTE_S, NoteFile
from models.training.phrases import Note, Voice, compose
from models.training.recordings import AUDIO_SUFFIXES, read_mono
from models.training.rendering import NotePlayer, SoundFontPlayer, add_room, set_peak
from models.training.styles import Play, Rank, Technique, apply_technique, draw_register, play_ranks

SOLO_SECONDS = 30.0
SOLO_RECIPE = 3
"""Grows when the way solos are made changes, so that cached ones are not taken for new ones."""
ORIGINS_FILE = "origins.json"
_FONT_SHARE = 0.45
_FULL_COVERAGE = 24
"""Pitches from which a set of notes counts in full."""
_KIN = frozenset({"tonejs-harmonium"})
"""Sets of a kindred instrument, which must not outweigh the instrument itself."""
_KIN_WEIGHT = 0.35
_ROOM_SHARE = 0.5
_MAX_DETUNE_CENTS = 15.0


@dataclass(frozen=True, slots=True)
class Program:
    """A General MIDI program, what it can play, and its share of an instrument's renders."""

    number: int
    voice: Voice
    share: float = 1.0


PROGRAMS: dict[str, tuple[Program, ...]] = {
    # Bandoneon and reed organ are free reeds too: kin, in small shares.
    "accordion": (
        Program(21, Voice(48, 91, chords=0.25, doubles=0.2), 0.65),
        Program(23, Voice(45, 88, chords=0.15, doubles=0.2), 0.25),
        Program(20, Voice(48, 88, chords=0.2, doubles=0.2), 0.1),
    ),
    "acoustic_guitar": (
        Program(24, Voice(40, 80, chords=0.2, doubles=0.15, rings=True), 0.5),
        Program(25, Voice(40, 81, chords=0.2, doubles=0.15, rings=True), 0.5),
    ),
    # Plucked and trembling strings: the fonts have one program for the whole section, so each takes its own registers.
    "cello": (
        Program(42, Voice(36, 79, doubles=0.1), 0.88),
        Program(45, Voice(36, 59, rings=True), 0.08),
        Program(44, Voice(36, 60), 0.04),
    ),
    "trumpet": (Program(56, Voice(54, 85), 0.9), Program(59, Voice(54, 84), 0.1)),
    "flute": (Program(73, Voice(60, 94)),),
    "xylophone": (
        Program(13, Voice(65, 105, doubles=0.15, rings=True, rolls=0.2), 0.6),
        Program(12, Voice(45, 96, doubles=0.15, rings=True, rolls=0.2), 0.4),
    ),
    "saxophone": (
        Program(64, Voice(56, 87), 0.15),
        Program(65, Voice(49, 82), 0.4),
        Program(66, Voice(44, 77), 0.3),
        Program(67, Voice(36, 69), 0.15),
    ),
    "violin": (
        Program(40, Voice(55, 98, doubles=0.1), 0.88),
        Program(45, Voice(60, 88, rings=True), 0.08),
        Program(44, Voice(61, 91), 0.04),
    ),
}
# In small shares: a bank has so many places, and what a room or a reed's colour changes the solver's equaliser follows.
TECHNIQUES: dict[str, Technique] = {
    "accordion": Technique(registers=True),
    "acoustic_guitar": Technique(),
    "cello": Technique(vibrato=0.15),
    "trumpet": Technique(vibrato=0.15),
    "flute": Technique(vibrato=0.15),
    "xylophone": Technique(tilt_db=3.0),
    "saxophone": Technique(vibrato=0.2),
    "violin": Technique(vibrato=0.15),
}


@dataclass(frozen=True, slots=True)
class Solo:
    """One recording of one instrument; `origin` names the source or collection it is made from."""

    path: Path
    instrument: str
    origin: str


@dataclass(frozen=True)
class Palette:
    """Everything that solos can be made from: soundfonts, sets of notes and performances by instrument."""

    fonts: SoundFontPlayer | None = None
    font_names: tuple[str, ...] = ()
    notes: dict[str, dict[str, list[NoteFile]]] = field(default_factory=dict)
    performances: dict[str, dict[str, list[Path]]] = field(default_factory=dict)

    def add(self, instrument: str, collection: str, notes: list[NoteFile]) -> None:
        """File `notes` under their instrument; those longer than a note can be are performances."""
        import soundfile  # noqa: PLC0415 - only those who train need it

        for note in notes:
            try:
                long = soundfile.info(note.path).duration > MAX_NOTE_S
            except (OSError, soundfile.SoundFileError) as error:
                raise TrainingDataError(
                    f"{note.path.name!r} of {collection!r} cannot be read as sound ({error}): replace or remove it"
                ) from error
            if long:
                self.performances.setdefault(instrument, {}).setdefault(collection, []).append(note.path)
            else:
                self.notes.setdefault(instrument, {}).setdefault(collection, []).append(note)


def list_solos(folder: Path, origin: str = "solos") -> list[Solo]:
    """List a folder in the report's layout.

    Parameters
    ----------
    folder
        Holds one folder an instrument, itself or in ``audios/solo``.

    Raises
    ------
    TrainingDataError
        If it is missing, holds no instrument's folder, or one of them holds no sound file.
    """
    root = folder / "audios" / "solo" if (folder / "audios" / "solo").is_dir() else folder
    if not root.is_dir():
        raise TrainingDataError(f"there is no folder {str(folder)!r}: give one that holds <instrument>/*.wav")
    present = [name for name in NAMES if (root / name).is_dir()]
    if not present:
        raise TrainingDataError(
            f"{str(folder)!r} holds no folder named after an instrument; wanted is at least one of {', '.join(NAMES)}"
        )
    origins: dict[str, str] = {}
    if (root / ORIGINS_FILE).is_file():
        origins = json.loads((root / ORIGINS_FILE).read_text(encoding="utf-8"))
    solos: list[Solo] = []
    for name in present:
        files = sorted(path for path in (root / name).iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
        if not files:
            raise TrainingDataError(
                f"the folder of {name} holds no sound file: add recordings (WAV, FLAC, MP3, Ogg, AIFF), or remove it"
            )
        solos.extend(Solo(path, name, origins.get(f"{name}/{path.name}", origin)) for path in files)
    return solos


def make_solos(
    palette: Palette,
    folder: Path,
    minutes_per_class: float,
    seed: int,
    progress: Callable[[float, str], None] | None = None,
) -> list[Solo]:
    """Make solos of every instrument that `palette` has sound for; what is already there is kept.

    Each is 30 s, mono, 16 bit FLAC, half of them dry, half in a simple room.

    Raises
    ------
    TrainingDataError
        If the palette is empty or one of its files cannot be used.
    """
    import soundfile  # noqa: PLC0415 - only those who train need it

    root = folder / "audios" / "solo"
    count = max(2, round(minutes_per_class * 60.0 / SOLO_SECONDS))
    origins: dict[str, str] = {}
    for instrument in NAMES:
        makers = _makers(palette, instrument)
        if not makers:
            continue
        (root / instrument).mkdir(parents=True, exist_ok=True)
        shares = _apportion(makers, count)
        plan = [(maker, turn) for maker, turns in zip(makers, shares, strict=True) for turn in range(turns)]
        for number, (maker, turn) in enumerate(plan):
            name = f"{number:04d}.flac"
            origins[f"{instrument}/{name}"] = maker.origin
            path = root / instrument / name
            if not path.exists():
                rng = np.random.default_rng((seed, index_of(instrument), number))
                audio = _finish(maker.make(rng, turn), rng, room=not maker.has_room)
                partial = path.with_name(f".{name}")
                soundfile.write(partial, audio, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
                partial.replace(path)
            if progress is not None:
                progress((number + 1) / len(plan), instrument)
    if not origins:
        raise TrainingDataError("there is no sound to make solos from: choose --sources, --recordings or --solos")
    (root / ORIGINS_FILE).write_text(json.dumps(origins, indent=0, sort_keys=True), encoding="utf-8")
    return list_solos(folder)


_Make = Callable[[np.random.Generator, int], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Maker:
    """One way to make a solo: its origin, its weight in the class, how (given the solo's place among its
    own), how many it can make before it repeats itself, and whether a room is in it already."""

    origin: str
    weight: float
    make: _Make
    most: int | None = None
    has_room: bool = False


def _makers(palette: Palette, instrument: str) -> list[_Maker]:
    real: list[_Maker] = []
    for collection, notes in sorted(palette.notes.get(instrument, {}).items()):
        distinct = len({note.pitch for note in notes})
        weight = _KIN_WEIGHT if collection in _KIN else min(1.0, max(0.25, distinct / _FULL_COVERAGE))
        real.append(_Maker(collection, weight, _note_maker(instrument, notes)))
    for collection, paths in sorted(palette.performances.get(instrument, {}).items()):
        excerpts = _excerpts(paths)
        real.append(_Maker(collection, 1.0, _excerpt_maker(excerpts), most=len(excerpts), has_room=True))
    fonts: list[_Maker] = []
    if palette.fonts is not None:
        for font in palette.font_names:
            fonts.extend(
                _Maker(font, program.share, _font_maker(palette.fonts, font, program, TECHNIQUES[instrument]))
                for program in PROGRAMS[instrument]
            )
    if not real or not fonts:
        return real or fonts
    real_total, font_total = sum(maker.weight for maker in real), sum(maker.weight for maker in fonts)
    # Few real notes must not be repeated for ever: sets that cover little get less than their half.
    real_share = (1.0 - _FONT_SHARE) * min(1.0, real_total)
    return [
        *(replace(maker, weight=real_share * maker.weight / real_total) for maker in real),
        *(replace(maker, weight=(1.0 - real_share) * maker.weight / font_total) for maker in fonts),
    ]


def _apportion(makers: list[_Maker], count: int) -> list[int]:
    """Whole numbers that sum to `count`, in proportion to the weights (largest remainder), none above its
    maker's `most` unless every maker has reached that."""
    total = sum(maker.weight for maker in makers)
    exact = [count * maker.weight / total for maker in makers]
    capped = [i for i, maker in enumerate(makers) if maker.most is not None and exact[i] > maker.most]
    free = [maker for i, maker in enumerate(makers) if i not in capped]
    if capped and free:
        fixed = {i: makers[i].most or 0 for i in capped}
        rest = iter(_apportion(free, count - sum(fixed.values())))
        return [fixed[i] if i in fixed else next(rest) for i in range(len(makers))]
    whole = [int(value) for value in exact]
    by_remainder = sorted(range(len(makers)), key=lambda i: (whole[i] - exact[i], i))
    for i in by_remainder[: count - sum(whole)]:
        whole[i] += 1
    return whole


def _font_maker(player: SoundFontPlayer, font: str, program: Program, technique: Technique) -> _Make:
    def make(rng: np.random.Generator, _turn: int) -> NDArray[np.float32]:
        notes = compose(program.voice, SOLO_SECONDS, rng)
        return _play(
            lambda moved, cents: player.play(font, program.number, moved, SOLO_SECONDS, cents), notes, technique, rng
        )

    return make


def _note_maker(instrument: str, notes: list[NoteFile]) -> _Make:
    player: list[NotePlayer] = []

    def make(rng: np.random.Generator, _turn: int) -> NDArray[np.float32]:
        if not player:
            player.append(NotePlayer(notes))
        voice = PROGRAMS[instrument][0].voice
        low, high = player[0].range or (voice.low, voice.high)
        played = replace(voice, low=low, high=high)
        player[0].forget()
        return _play(
            lambda moved, cents: player[0].play(moved, SOLO_SECONDS, rings=voice.rings, rng=rng, detune_cents=cents),
            compose(played, SOLO_SECONDS, rng),
            TECHNIQUES[instrument],
            rng,
        )

    return make


def _play(play: Play, notes: list[Note], technique: Technique, rng: np.random.Generator) -> NDArray[np.float32]:
    """Notes to sound, a little out of tune, with the technique that is drawn."""
    ranks = draw_register(rng) if technique.registers else (Rank(),)
    detune = float(rng.uniform(-_MAX_DETUNE_CENTS, _MAX_DETUNE_CENTS))
    return apply_technique(play_ranks(play, notes, ranks, detune), technique, rng)


def _excerpts(paths: list[Path]) -> list[tuple[Path, int]]:
    """Where excerpts of a solo's length begin: (file, seconds). Leftovers under half that length are dropped."""
    import soundfile  # noqa: PLC0415 - only those who train need it

    step = round(SOLO_SECONDS)
    return [
        (path, start)
        for path in paths
        for start in range(0, max(1, round(soundfile.info(path).duration - SOLO_SECONDS / 2)), step)
    ]


def _excerpt_maker(excerpts: list[tuple[Path, int]]) -> _Make:
    def make(_rng: np.random.Generator, turn: int) -> NDArray[np.float32]:
        path, start = excerpts[turn % len(excerpts)]
        first = start * SAMPLE_RATE
        return read_mono(path)[first : first + round(SOLO_SECONDS * SAMPLE_RATE)]

    return make


def _finish(audio: NDArray[np.float32], rng: np.random.Generator, *, room: bool) -> NDArray[np.float32]:
    if room and rng.random() < _ROOM_SHARE:
        wet, rt60 = float(rng.uniform(0.05, 0.6)), float(rng.uniform(0.25, 1.4))
        audio = add_room(set_peak(audio, 1.0), wet, rt60, rng)
    return set_peak(audio, float(10.0 ** (rng.uniform(-12.0, -1.0) / 20.0)))
