"""Hard frames for the label rules, made of the example duet's own two halves: cut anywhere, boxed, upright, re-cut."""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worker.example_duet import example_duet

Frame = NDArray[np.uint8]

LEFT, RIGHT = "trumpet", "acoustic_guitar"
WIDTH, HEIGHT = 640, 360
_EVERY = 40  # frames of the film from one to the next


@lru_cache(maxsize=1)
def halves() -> tuple[tuple[Frame, Frame], ...]:
    """Both players, (360, 320, 3) each, in eight frames of the film: the trumpet first."""
    with av.open(str(example_duet().video)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)][::_EVERY][:8]
    return tuple((frame[:, : WIDTH // 2], frame[:, WIDTH // 2 :]) for frame in frames)


def beside(left: Frame, right: Frame, cut: float, width: int = WIDTH, height: int = HEIGHT) -> Frame:
    """One player beside the other, who meet at `cut` of the width."""
    at = round(cut * width)
    return np.concatenate([fitted(left, at, height), fitted(right, width - at, height)], axis=1)


def fitted(picture: Frame, width: int, height: int) -> Frame:
    """The picture as wide as wanted: what is then too high is cut off, what is missing has its mean rim's colour."""
    high = round(picture.shape[0] * width / picture.shape[1])
    scaled = np.asarray(Image.fromarray(picture).resize((width, high), Image.Resampling.BICUBIC))
    if high >= height:
        top = (high - height) // 2
        return scaled[top : top + height]
    rim = np.concatenate([scaled[0], scaled[-1]]).mean(axis=0)
    framed = np.empty((height, width, 3), np.uint8)
    framed[:] = rim.round().astype(np.uint8)
    top = (height - high) // 2
    framed[top : top + high] = scaled
    return framed


def boxed(frame: Frame, bar: float, *, upright: bool = False) -> Frame:
    """The frame between black bars that take `bar` of its height each; `upright`: of its width, to either side."""
    height, width = frame.shape[:2]
    across = round(bar * (width if upright else height))
    inside = (width - 2 * across, height) if upright else (width, height - 2 * across)
    box = np.full_like(frame, 2)
    small = np.asarray(Image.fromarray(frame).resize(inside, Image.Resampling.BICUBIC))
    if upright:
        box[:, across : width - across] = small
    else:
        box[across : height - across] = small
    return box


def closeup(player: Frame) -> Frame:
    """One player alone, over the whole frame."""
    return fitted(player, WIDTH, HEIGHT)


def chimes() -> Frame:
    """A drawing (360, 320, 3) of wind chimes, which are none of the eight: the picture network names it so."""
    drawing = Image.new("RGB", (320, 360), (150, 190, 150))
    pen = ImageDraw.Draw(drawing)
    pen.ellipse((100, 60, 220, 90), fill=(120, 70, 30))
    for number, x in enumerate(range(110, 211, 25)):
        pen.line((x, 75, x, 110), fill=(60, 60, 60))
        for across in range(14):
            grey = round(150 + 90 * np.sin(across / 14 * np.pi))
            pen.line((x - 7 + across, 110, x - 7 + across, 260 + 15 * (number % 3)), fill=(grey, grey, grey))
    pen.line((160, 20, 160, 60), fill=(60, 60, 60))
    pen.line((160, 75, 160, 300), fill=(60, 60, 60))
    pen.ellipse((145, 290, 175, 330), fill=(120, 70, 30))
    return np.asarray(drawing)


def lyrics(line: int) -> Frame:
    """A frame of a lyric video: lines of pale boxes on one colour."""
    frame = np.full((HEIGHT, WIDTH, 3), (38, 42, 96), np.uint8)
    rng = np.random.default_rng(line)
    for row in range(4):
        x = 90
        for _ in range(int(rng.integers(3, 7))):
            word = int(rng.integers(30, 90))
            frame[80 + 55 * row : 100 + 55 * row, x : x + word] = (235, 235, 210)
            x += word + 14
    return frame
