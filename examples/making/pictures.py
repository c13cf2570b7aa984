"""The pictures: two instruments, each in its half of the frame, turning and growing a little, lit by their sound.

Frames are [shape=(HEIGHT, WIDTH, 3), uint8] RGB. Lengths are in pixels, angles in degrees, times in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

WIDTH, HEIGHT = 640, 360
HALF = WIDTH // 2
FRAME_RATE = 25  # frames a second

SHADOW_OFFSET = (9, 13)
SHADOW_BLUR = 7
SHADOW_STRENGTH = 0.42
GLOW_STRENGTH = 0.34  # at full level
GLOW_RADIUS = 175
SWAY_PERIOD_S = 6.4
LIGHTS_SEED = 7
LIGHTS = 9
LIGHT_RIM = 10  # from full to none


@dataclass(frozen=True, slots=True)
class Player:
    """One half of the frame: which photo, how it stands, and the colours behind it (centre, edge; RGB)."""

    photo: Path
    scale: float  # of the photo's own pixels, at the start
    zoom: float  # by how much it has grown at the end
    angle: float  # anticlockwise
    sway: float  # to either side of `angle`
    centre: tuple[int, int, int]
    edge: tuple[int, int, int]


def frames(players: Sequence[Player], levels: Sequence[NDArray[np.float64]]) -> Iterator[NDArray[np.uint8]]:
    """Draw the film frame by frame.

    Parameters
    ----------
    players : two Player
        Left and right.
    levels : two np.ndarray [shape=(frames,), float64]
        How loud each plays in each frame, 0..1.

    Yields
    ------
    np.ndarray [shape=(HEIGHT, WIDTH, 3), uint8]
    """
    halves = [_Half(player, seed) for seed, player in enumerate(players, start=LIGHTS_SEED)]
    count = len(levels[0])
    for number in range(count):
        drawn = [half.draw(number, count, float(level[number])) for half, level in zip(halves, levels, strict=True)]
        yield np.concatenate(drawn, axis=1)


def levels(sound: NDArray[np.int16], sample_rate: int, count: int) -> NDArray[np.float64]:
    """Return how loud `sound` is in each of `count` frames, from 0 to 1, falling off slowly.

    Parameters
    ----------
    sound : np.ndarray [shape=(samples,), int16]
    sample_rate : int
        Hz.

    Returns
    -------
    np.ndarray [shape=(count,), float64]
    """
    window = sample_rate // FRAME_RATE
    padded = np.zeros(count * window)
    kept = min(len(sound), len(padded))
    padded[:kept] = sound[:kept]
    # (samples,) -> (frames, samples a frame)
    loud = np.sqrt(np.mean(padded.reshape(count, window) ** 2, axis=1))
    held = np.empty(count)
    last = 0.0
    for number, value in enumerate(loud / max(float(loud.max()), 1.0)):
        last = max(float(value), 0.85 * last)
        held[number] = last
    return held


class _Half:
    """One player's half: what does not change is drawn once."""

    def __init__(self, player: Player, seed: int) -> None:
        self.player = player
        photo = np.asarray(Image.open(player.photo).convert("RGBA"), dtype=np.float32) / 255
        # Colours times opacity: turning a cut-out would otherwise bleed its hidden background into the rim.
        self.cutout = [
            Image.fromarray(np.ascontiguousarray(plane))
            for plane in (*np.moveaxis(photo[..., :3] * photo[..., 3:], 2, 0), photo[..., 3])
        ]
        self.ground = _ground(player, seed)
        self.glow = _disc(HALF / 2, HEIGHT / 2, GLOW_RADIUS)[..., None]

    def draw(self, number: int, count: int, level: float) -> NDArray[np.uint8]:
        player = self.player
        phase = 2 * math.pi * number / (FRAME_RATE * SWAY_PERIOD_S)
        angle = player.angle + player.sway * math.sin(phase)
        scale = player.scale * (1 + player.zoom * number / max(count - 1, 1))
        picture = self.ground + GLOW_STRENGTH * level * self.glow * (1 - self.ground)
        # Pillow blurs 8-bit pictures only.
        outline = np.clip(255 * self._place(3, scale, angle, SHADOW_OFFSET), 0, 255).astype(np.uint8)
        dark = np.asarray(Image.fromarray(outline).filter(ImageFilter.GaussianBlur(SHADOW_BLUR))) / np.float32(255)
        picture = picture * (1 - SHADOW_STRENGTH * dark[..., None])
        red, green, blue, opacity = (np.clip(self._place(i, scale, angle), 0, 1) for i in range(4))
        # (HEIGHT, HALF) three times -> (HEIGHT, HALF, 3)
        picture = picture * (1 - opacity[..., None]) + np.stack([red, green, blue], axis=-1)
        return np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)

    def _place(self, plane: int, scale: float, angle: float, offset: tuple[int, int] = (0, 0)) -> NDArray[np.float32]:
        """Return one plane of the photo (0..3: red, green, blue, opacity), turned and centred in the half."""
        photo = self.cutout[plane]
        cos, sin = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale
        x, y = HALF / 2 + offset[0], HEIGHT / 2 + offset[1]
        # Pillow maps each place of the result back to one of the photo.
        back = (
            *(cos, -sin, photo.width / 2 - cos * x + sin * y),
            *(sin, cos, photo.height / 2 - sin * x - cos * y),
        )
        turned = photo.transform((HALF, HEIGHT), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
        return np.asarray(turned, dtype=np.float32)


def _ground(player: Player, seed: int) -> NDArray[np.float32]:
    """Return the backdrop [shape=(HEIGHT, HALF, 3), float32, 0..1]: a gradient with soft lights out of focus."""
    chance = np.random.default_rng(seed)
    near, far = (np.array(colour, dtype=np.float32) / 255 for colour in (player.centre, player.edge))
    y, x = np.mgrid[0:HEIGHT, 0:HALF].astype(np.float32)
    away = np.clip(np.hypot((x - HALF / 2) / HALF, (y - 0.42 * HEIGHT) / HEIGHT) * 1.35, 0, 1)[..., None]
    ground = near * (1 - away) + far * away
    for _ in range(LIGHTS):
        at_x, at_y = chance.uniform(0, HALF), chance.uniform(0, HEIGHT)
        inside = (chance.uniform(14, 40) - np.hypot(x - at_x, y - at_y)) / LIGHT_RIM
        light = np.clip(0.5 + inside, 0, 1)[..., None]
        ground = ground + chance.uniform(0.04, 0.13) * light * (1 - ground)
    return np.asarray(ground, dtype=np.float32)


def _disc(x: float, y: float, radius: float) -> NDArray[np.float32]:
    """Return a light [shape=(HEIGHT, HALF), float32, 0..1], brightest at (x, y), gone at `radius`."""
    down, across = np.mgrid[0:HEIGHT, 0:HALF].astype(np.float32)
    falling = np.clip(1 - np.hypot(across - x, down - y) / radius, 0, 1)
    return np.asarray(falling**2, dtype=np.float32)
