"""Duets to learn separation from: two solos of different instruments, each treated as if from another recording.

A clip is what a separator sees and what it should have said: mixes are made of excerpts of solos, retuned, coloured,
put into rooms, with unequal loudness, pauses of one player, noise, limited bandwidth or MP3 damage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.instruments import NAMES
from models.stft import HOP
from models.training.damage import Audio, colour, compress_to_mp3, limit_bandwidth, retune
from models.training.recordings import read_mono
from models.training.rendering import add_room
from models.training.solos import Solo

CLIP_FRAMES = 128
CLIP_SAMPLES = (CLIP_FRAMES - 1) * HOP
"""5.9 s: transformed with zeros beyond both ends, they are 128 frames."""

_MAX_RETUNING_CENTS = 60.0
_COLOURED_SHARE, _MAX_COLOUR_DB = 0.6, 6.0
_ROOM_SHARE, _ROOM_WET, _ROOM_RT60_S = 0.35, (0.03, 0.5), (0.2, 1.5)
_EVEN_SHARE, _EVEN_DB, _UNEVEN_DB = 0.7, 3.0, 12.0
_PAUSE_SHARE = 0.06
_NOISE_SHARE, _NOISE_DB = 0.3, (-55.0, -28.0)
_NARROW_SHARE, _CORNER_HZ = 0.15, (3_000.0, 12_000.0)
_MP3_SHARE, _MP3_LEVEL = 0.15, (0.5, 0.9)
_QUIET = 0.1  # of a solo's level: an excerpt below it is a rest, and another is drawn
_DRAWS = 5
_TINY = 1e-12


@dataclass(frozen=True)
class Mix:
    """One clip: the two players' sound, (2, samples) float32, whose sum is the mix, and which solos they are from."""

    players: Audio
    solos: tuple[Solo, Solo]


class Mixer:
    """Draws clips from solos. Clip `number` of a seed is always the same."""

    def __init__(self, solos: list[Solo], seed: int) -> None:
        """Take solos of at least two instruments. Within an instrument, all origins are drawn equally often."""
        self._seed = seed
        self._by_origin: dict[str, dict[str, list[Solo]]] = {}
        for solo in solos:
            self._by_origin.setdefault(solo.instrument, {}).setdefault(solo.origin, []).append(solo)
        self._names = [name for name in NAMES if name in self._by_origin]

    def draw(self, number: int) -> Mix:
        """Make clip `number`."""
        rng = np.random.default_rng((self._seed, number))
        names = rng.permutation(self._names)[:2]
        solos = tuple(self._choose(str(name), rng) for name in names)
        players = [self._play(solo, rng) for solo in solos]
        range_db = _EVEN_DB if rng.random() < _EVEN_SHARE else _UNEVEN_DB
        difference_db = rng.uniform(-range_db, range_db)
        players = [player * 10 ** (sign * difference_db / 40) for player, sign in zip(players, (1, -1), strict=True)]
        if rng.random() < _PAUSE_SHARE:
            players[int(rng.integers(2))][: int(rng.integers(CLIP_SAMPLES))] = 0.0
        return Mix(_damaged(np.stack(players), rng), (solos[0], solos[1]))

    def _choose(self, name: str, rng: np.random.Generator) -> Solo:
        origins = sorted(self._by_origin[name])
        mine = self._by_origin[name][origins[int(rng.integers(len(origins)))]]
        return mine[int(rng.integers(len(mine)))]

    def _play(self, solo: Solo, rng: np.random.Generator) -> Audio:
        """An excerpt of unit level."""
        audio = read_mono(solo.path)
        cents = float(rng.uniform(-_MAX_RETUNING_CENTS, _MAX_RETUNING_CENTS))
        wanted = round(CLIP_SAMPLES * 2 ** (cents / 1200)) + HOP
        excerpt = audio[:wanted]
        for _ in range(_DRAWS):
            start = int(rng.integers(max(1, len(audio) - wanted)))
            excerpt = audio[start : start + wanted]
            if _level(excerpt) > _QUIET * _level(audio):
                break
        played = retune(excerpt, cents)[:CLIP_SAMPLES]
        played = np.pad(played, (0, CLIP_SAMPLES - len(played)))
        if rng.random() < _COLOURED_SHARE:
            played = colour(played, rng.uniform(-_MAX_COLOUR_DB, _MAX_COLOUR_DB, 8))
        if rng.random() < _ROOM_SHARE:
            played = add_room(played, float(rng.uniform(*_ROOM_WET)), float(rng.uniform(*_ROOM_RT60_S)), rng)
        return np.asarray(played / (_level(played) + _TINY), dtype=np.float32)


def _damaged(players: Audio, rng: np.random.Generator) -> Audio:
    """What befalls the mix as a whole. Neither player made the noise: half of it is left with each."""
    if rng.random() < _NOISE_SHARE:
        noise = rng.standard_normal(CLIP_SAMPLES, dtype=np.float32) * np.float32(10 ** (rng.uniform(*_NOISE_DB) / 20))
        players = players + np.float32(0.5) * noise
    if rng.random() < _NARROW_SHARE:
        corner = float(rng.uniform(*_CORNER_HZ))
        players = np.stack([limit_bandwidth(player, corner) for player in players])
    if rng.random() < _MP3_SHARE:
        mix = players.sum(axis=0)
        change = compress_to_mp3(mix, float(rng.uniform(*_MP3_LEVEL))) - mix
        players = players + change / 2
    return np.asarray(players, dtype=np.float32)


def _level(audio: Audio) -> float:
    return float(np.sqrt(np.square(audio).mean()))
