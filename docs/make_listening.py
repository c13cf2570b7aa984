"""Make docs/listening.md: three duets, before and after, as sound and as spectrograms.

``python docs/make_listening.py [--cache DIR]``, on Debian or Ubuntu, in an environment with Duetto installed. The first
duet is the example's; the other two are played here, by the same steps and from the same soundfont as it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
# Scripts, no installed package.
sys.path.insert(0, str(EXAMPLES))

from making import sources, tune  # noqa: E402
from making.tune import Note  # noqa: E402

from models import get_separator, separate  # noqa: E402
from models.certainty import Certainty  # noqa: E402
from models.metrics import sdr  # noqa: E402
from models.stft import magnitude  # noqa: E402

Sound = NDArray[np.float32]

RATE = tune.SAMPLE_RATE
SOUNDS = DOCS / "listening"
MP3_LEVEL = 0.82  # of libsndfile: 80 kbit/s, 140 KB for 14 s
WIDTH, MARGIN, TITLE, GAP, ROW = 900, 18, 26, 10, 200
TOP_HZ, FLOOR_DB = 8_000.0, -70.0
INK, PAPER = (35, 38, 52), (250, 250, 248)
# Dark blue over magenta to pale yellow: readable in grey and by the colour-blind.
STOPS = np.array([(12, 10, 38), (87, 22, 110), (187, 55, 84), (249, 142, 9), (252, 255, 200)], np.float64)
INTRO = """# Listening: before and after

Three duets of 14 s: the recording that goes in, and the two stems that come out of `learned`, the default. Made by
`python docs/make_listening.py`, which also measured the tables.

All three are rendered from FluidR3 ([its licence](../examples/LICENSE.md) lets the sound be shipped), dry, both players
as loud as each other. That font is one of the sounds that bases and network were learnt from; the pieces are not. So
this is what separation sounds like, not how good it is on a stranger's recording: for that see
[benchmarks](benchmarks.md)."""
PROGRAMS = {"flute": 73, "cello": 42, "violin": 40, "accordion": 21}  # General MIDI, counted from 0

# C. Petzold, Minuet in G (1725, once taken for Bach's), bars 1 to 8, 15 and 16: (pitch, beats).
_MINUET = (
    (74, 1), (67, 0.5), (69, 0.5), (71, 0.5), (72, 0.5), (74, 1), (67, 1), (67, 1),
    (76, 1), (72, 0.5), (74, 0.5), (76, 0.5), (78, 0.5), (79, 1), (67, 1), (67, 1),
    (72, 1), (74, 0.5), (72, 0.5), (71, 0.5), (69, 0.5), (71, 1), (72, 0.5), (71, 0.5), (69, 0.5), (67, 0.5),
    (66, 1), (67, 0.5), (69, 0.5), (71, 0.5), (67, 0.5), (69, 3),
    (69, 1), (71, 0.5), (69, 0.5), (67, 0.5), (66, 0.5), (67, 4),
)  # fmt: skip
_MINUET_BASS = (
    (55, 2), (57, 1), (59, 3), (60, 3), (59, 3), (57, 3), (55, 3), (62, 1), (59, 1), (55, 1),
    (62, 1), (50, 0.5), (60, 0.5), (59, 0.5), (57, 0.5), (60, 1), (62, 1), (50, 1), (43, 4),
)  # fmt: skip
# Greensleeves (16th century).
_GREENSLEEVES = (
    (69, 1), (72, 2), (74, 1), (76, 1.5), (77, 0.5), (76, 1), (74, 2), (71, 1), (67, 1.5), (69, 0.5), (71, 1),
    (72, 2), (69, 1), (69, 1.5), (68, 0.5), (69, 1), (71, 2), (68, 1), (64, 3),
    (72, 1.5), (71, 0.5), (69, 1), (68, 1.5), (66, 0.5), (68, 1), (69, 4),
)  # fmt: skip
_A, _C, _G, _E, _F = (57, 64, 69, 72), (60, 64, 67, 72), (55, 62, 67, 71), (52, 64, 68, 71), (53, 65, 69, 72)
_GREENSLEEVES_BARS = (_A, _C, _G, _G, _A, _F, _E, _E, _A, _E, _A)  # three beats each, after the first note


@dataclass(frozen=True)
class Duet:
    """A name for its files, what is played, who plays left and right, and their true stems (2, samples)."""

    name: str
    title: str
    players: tuple[str, str]
    stems: Sound


def melody(notes: tuple[tuple[int, float], ...], legato: float = 0.95) -> list[Note]:
    """One note after the other."""
    starts = np.cumsum([0.0, *(beats for _, beats in notes)])
    return [Note(float(at), beats * legato, pitch, 0.8) for at, (pitch, beats) in zip(starts, notes, strict=False)]


def waltz(bars: tuple[tuple[int, ...], ...], begin: float) -> list[Note]:
    """A bass on the first beat of each bar, which is held, and its chord on the two others."""
    notes = []
    for number, (bass, *chord) in enumerate(bars):
        at = begin + 3.0 * number
        notes.append(Note(at, 2.9, bass, 0.75))
        notes += [Note(at + beat, 0.8, pitch, 0.65) for beat in (1.0, 2.0) for pitch in chord]
    return notes


def duets(cache: Path) -> list[Duet]:
    """The three duets, made or read."""
    true = np.stack([soundfile.read(EXAMPLES / f"duet_{side}.wav", dtype="float32")[0] for side in ("left", "right")])
    made = [Duet("trumpet-guitar", "Beethoven, Ode to Joy", ("trumpet", "acoustic_guitar"), true)]
    soundfont = sources.debian_files(sources.SOUNDFONT_PACKAGE, [sources.SOUNDFONT_FILE], cache)[0]
    synthesizer = sources.renderer(cache)
    for title, left, right in (
        ("Petzold, Minuet in G", ("flute", melody(_MINUET)), ("cello", melody(_MINUET_BASS))),
        ("Greensleeves", ("violin", melody(_GREENSLEEVES)), ("accordion", waltz(_GREENSLEEVES_BARS, 1.0))),
    ):
        parts = [tune.render(synthesizer, soundfont, PROGRAMS[name], notes) for name, notes in (left, right)]
        stems = np.stack(tune.balance(parts[0], parts[1])).astype(np.float32) / np.float32(2**15)
        made.append(Duet(f"{left[0]}-{right[0]}", title, (left[0], right[0]), stems))
    return made


def spectrogram(sound: NDArray[np.float32], rate: int, reference: float, width: int) -> Image.Image:
    """A spectrogram, `width` pixels wide, up to 8 kHz, over 70 dB below `reference`."""
    V = magnitude(sound, rate)
    V = V[: int(TOP_HZ / (rate / 2) * V.shape[0])]
    decibels = 20 * np.log10(np.maximum(V, 1e-9) / reference)
    level = np.clip(1 - decibels / FLOOR_DB, 0, 1)[::-1]
    position = level * (len(STOPS) - 1)
    below = np.minimum(position.astype(int), len(STOPS) - 2)
    share = (position - below)[..., None]
    colours = STOPS[below] * (1 - share) + STOPS[below + 1] * share
    return Image.fromarray(colours.astype(np.uint8)).resize((width, ROW), Image.Resampling.BILINEAR)


def draw(duet: Duet, mix: Sound, stems: Sound, target: Path) -> None:
    """The recording above, below it what was separated (left) and what was really played (right)."""
    sheet = Image.new("RGB", (WIDTH, 2 * MARGIN + 3 * (TITLE + ROW) + 2 * GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    reference = float(magnitude(mix[None], RATE).max())
    half = (WIDTH - 3 * MARGIN) // 2
    panels = [(0, MARGIN, WIDTH - 2 * MARGIN, "the recording, 0 to 8 kHz", mix)]
    for row, (name, stem, true) in enumerate(zip(duet.players, stems, duet.stems, strict=True), start=1):
        panels.append((row, MARGIN, half, f"{spoken(name)}, separated", stem))
        panels.append((row, 2 * MARGIN + half, half, f"{spoken(name)}, as it was played", true))
    for row, x, width, title, sound in panels:
        y = MARGIN + row * (TITLE + ROW + GAP)
        pen.text((x, y), title, INK, font=font)
        sheet.paste(spectrogram(sound[None], RATE, reference, width), (x, y + TITLE))
    sheet.save(target, quality=80, optimize=True)


def write_mp3(path: Path, sound: Sound) -> None:
    """Mono, 80 kbit/s."""
    options = {"subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": MP3_LEVEL}
    soundfile.write(path, sound, RATE, format="MP3", **options)


def spoken(name: str) -> str:
    """An instrument's name as it is written in text."""
    return name.replace("_", " ")


def section(duet: Duet) -> list[str]:
    """Separate one duet, write its files, and return its part of the page."""
    mix = duet.stems.sum(axis=0)
    scores = {"the recording itself": np.stack([mix, mix])}
    likely = {}
    for name in ("report", "nmf", "learned"):
        certainty, separator = Certainty(), get_separator(name)
        stems = separate(mix[None], RATE, separator, *duet.players, certainty=certainty)
        scores[f"`{name}`"] = np.concatenate(stems)
        likely[f"`{name}`"] = certainty.estimates_db(separator)
    best = scores["`learned`"]
    for name, sound in (("mix", mix), *zip(("left", "right"), best, strict=True)):
        write_mp3(SOUNDS / f"{duet.name}-{name}.mp3", sound)
    picture = f"listening/{duet.name}.jpg"
    draw(duet, mix, best, DOCS / picture)
    players = [spoken(name) for name in duet.players]
    rows = []
    for name, stems in scores.items():
        found = sdr(duet.stems, stems)
        expected = likely.get(name)
        told = "" if expected is None else f"{expected[0]:.1f}, {expected[1]:.1f}"
        rows.append(f"| {name} | {found[0]:z.1f} | {found[1]:z.1f} | {told} |")
    links = [
        f"[{what}](listening/{duet.name}-{file}.mp3)" for what, file in zip(players, ("left", "right"), strict=True)
    ]
    return [
        f"## {duet.title}: {' and '.join(players)}",
        f"Before: [the recording](listening/{duet.name}-mix.mp3). After: {', '.join(links)}.",
        f"![Spectrograms of the recording and of {players[0]} and {players[1]}, separated and played]({picture})",
        "\n".join([f"| SDR, dB | {players[0]} | {players[1]} | likely SI-SDR |", "|---|---:|---:|---:|", *rows]),
    ]


def main() -> None:
    """Write sounds, pictures and the page."""
    parser = argparse.ArgumentParser(description="Make docs/listening.md and its files.")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "duetto" / "example")
    cache = parser.parse_args().cache
    SOUNDS.mkdir(exist_ok=True)
    parts = [INTRO]
    for duet in duets(cache):
        parts += section(duet)
    (DOCS / "listening.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
