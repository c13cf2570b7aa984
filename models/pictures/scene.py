"""A frame with what was seen in it: where it is cut, what each instrument takes up, and its name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.pictures.picture import INK, LEFT, NIGHT, PAPER, RIGHT, Picture, clock, spoken
from models.pictures.sheet import Colour, Sheet, text_width
from models.players.bars import Box

_MOST_PX = (800, 600)
_LEAST_WIDTH_PX = 360  # room for two names
_TEXT_PX = 20
_LINE_PX = 5
_HALF = (Box(0.0, 0.0, 0.5, 1.0), Box(0.5, 0.0, 1.0, 1.0))


def draw_scene(
    image: NDArray[np.uint8],
    time_s: float,
    labels: tuple[str, str],
    cut: float = 0.5,
    extents: tuple[Box, Box] | None = None,
) -> Picture:
    """Draw what was seen onto a frame.

    Parameters
    ----------
    image : np.ndarray [shape=(height, width, 3), uint8, RGB]
    time_s : float
        When it is shown.
    labels : (str, str)
        Who plays on the left and on the right.
    cut : float
        Where the players part, as a fraction of the width.
    extents : (Box, Box), optional
        What each player's instrument takes up, where that is known.
    """
    photo = Image.fromarray(image)
    scale = min(_MOST_PX[0] / photo.width, _MOST_PX[1] / photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    photo = photo.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX)
    sheet = Sheet(max(photo.width, _LEAST_WIDTH_PX), photo.height, NIGHT)
    begin = (sheet.width - photo.width) // 2
    sheet.paste(np.asarray(photo), begin, 0)
    x = begin + cut * photo.width
    sheet.line([(x, 0), (x, photo.height)], PAPER, _LINE_PX)
    sheet.line([(x, 0), (x, photo.height)], INK, _LINE_PX - 2)
    for label, colour, box in zip(labels, (LEFT, RIGHT), extents or _HALF, strict=True):
        left, right = (begin + place * photo.width for place in (box.left, box.right))
        top, bottom = (place * photo.height for place in (box.top, box.bottom))
        if extents is not None:
            # The narrowest box that both outlines fit in.
            right, bottom = max(right - 1, left + 2), max(bottom - 1, top + 2)
            sheet.frame(left, top, right, bottom, PAPER, _LINE_PX)
            sheet.frame(left + 1, top + 1, right - 1, bottom - 1, colour, _LINE_PX - 2)
        _name(sheet, spoken(label), colour, left, top)
    return Picture("frame", sheet.photo_png(), sheet.width, sheet.height, _told(time_s, labels, cut, extents), None)


def _name(sheet: Sheet, name: str, colour: Colour, left: float, top: float) -> None:
    """Write a name onto a dark plate at the corner of its box, wholly on the sheet."""
    width, height = text_width(name, _TEXT_PX) + 20, _TEXT_PX + 12
    x = max(0.0, min(left, sheet.width - width))
    y = max(0.0, min(top, sheet.height - height))
    sheet.fill(x, y, x + width, y + height, PAPER)
    sheet.text((x + 10, y + height / 2), name, "lm", colour, _TEXT_PX)


def _told(time_s: float, labels: tuple[str, str], cut: float, extents: tuple[Box, Box] | None) -> str:
    told = [f"The frame at {clock(time_s)}, cut at {cut:.0%} of its width."]
    for k, (side, label) in enumerate(zip(("left", "right"), labels, strict=True)):
        where = ""
        if extents is not None:
            box = extents[k]
            where = (
                f", seen from {box.left:.0%} to {box.right:.0%} of the width and "
                f"from {box.top:.0%} to {box.bottom:.0%} of the height"
            )
        told.append(f"On the {side}: {spoken(label)}{where}.")
    return " ".join(told)
