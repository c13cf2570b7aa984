"""What the pictures of the training report are drawn with: a sheet, a colour ramp, a grid of numbered cells.

Positions and sizes are in pixels from the top left. The same drawing gives the same PNG bytes with the same Pillow.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

INK, FAINT, PAPER, LINE = (35, 38, 52), (213, 216, 220), (255, 255, 255), (34, 94, 168)
MARK = (213, 94, 0)
"""Vermilion of Okabe and Ito: told from every colour of the ramp by people of any colour vision."""
TEXT_PX = 15
# Pale yellow over green to dark blue: lightness falls all the way, so that it also reads in grey.
_STOPS = np.array([(255, 255, 229), (199, 233, 180), (65, 182, 196), (34, 94, 168), (8, 29, 88)], np.float64)
_RAMP_COLOURS = 41
_TURNS_DARK = 0.55
"""Place on the ramp from which text is set in white."""

Point = tuple[float, float]
Colour = tuple[int, int, int]
Anchor = Literal["lm", "mm", "rm", "mt", "mb", "lt"]


def ramp(level: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the colours of levels 0 (pale) to 1 (dark); what lies outside is clipped.

    Parameters
    ----------
    level : np.ndarray [shape=(...), float]

    Returns
    -------
    np.ndarray [shape=(..., 3), uint8]
    """
    position = np.clip(level, 0.0, 1.0) * (len(_STOPS) - 1)
    below = np.minimum(position.astype(np.int64), len(_STOPS) - 2)
    share = (position - below)[..., None]
    return np.asarray(np.round(_STOPS[below] * (1 - share) + _STOPS[below + 1] * share), dtype=np.uint8)


class Sheet:
    """A white picture to draw on, with text in Pillow's own font."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def text(self, at: Point, words: str, anchor: Anchor = "lm", colour: Colour = INK, size: int = TEXT_PX) -> None:
        """Write `words` with their `anchor` (Pillow's two letters) at a point."""
        self._draw.text(at, words, colour, font=_font(size), anchor=anchor)

    def line(self, points: Sequence[Point], colour: Colour = INK, width: int = 1) -> None:
        """Join points."""
        self._draw.line([*points], colour, width, joint="curve")

    def frame(self, left: float, top: float, right: float, bottom: float, colour: Colour, width: int = 1) -> None:
        """Draw the outline of a box, whose corners both belong to it."""
        self._draw.rectangle((left, top, right, bottom), outline=colour, width=width)

    def triangle(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon([*points], fill=colour)

    def paste(self, colours: NDArray[np.uint8], left: int, top: int) -> None:
        """Put an image of shape (height, width, 3) on the sheet."""
        self._image.paste(Image.fromarray(colours), (left, top))

    def cells(
        self, values: NDArray[np.floating], words: Sequence[Sequence[str]], at: tuple[int, int], cell: tuple[int, int]
    ) -> None:
        """Draw a matrix as coloured boxes with words inside.

        Parameters
        ----------
        values : np.ndarray [shape=(rows, columns), float], places on the colour ramp, 0 to 1
        words
            What is written in each cell.
        at, cell
            The top left corner; width and height of one cell.
        """
        width, height = cell
        colours = ramp(values)
        for row, line in enumerate(words):
            for column, word in enumerate(line):
                left, top = at[0] + column * width, at[1] + row * height
                fill = (int(colours[row, column, 0]), int(colours[row, column, 1]), int(colours[row, column, 2]))
                self._draw.rectangle((left, top, left + width - 1, top + height - 1), fill, outline=FAINT)
                ink = PAPER if values[row, column] > _TURNS_DARK else INK
                self.text((left + width / 2, top + height / 2), word, "mm", ink, _fitting(word, width))

    def scale(self, left: int, top: int, width: int, words: tuple[str, str]) -> None:
        """Draw the colour ramp with what its two ends stand for."""
        bar = np.broadcast_to(ramp(np.linspace(0.0, 1.0, width))[None], (12, width, 3))
        self.text((left - 8, top + 6), words[0], "rm")
        self.paste(np.ascontiguousarray(bar), left, top)
        self.frame(left, top, left + width - 1, top + 11, FAINT)
        self.text((left + width + 8, top + 6), words[1], "lm")

    def png(self) -> bytes:
        """Return the sheet as a PNG with a palette, a third of the size of one without."""
        stream = io.BytesIO()
        self._image.quantize(palette=_palette(), dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        return stream.getvalue()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


@cache
def _palette() -> Image.Image:
    """The ramp, and each other colour with what smoothing its edges makes of it on white."""
    colours = [*ramp(np.linspace(0.0, 1.0, _RAMP_COLOURS)).tolist(), FAINT]
    for colour, steps in ((INK, 10), (MARK, 6), (LINE, 6)):
        colours += np.round(np.linspace(colour, PAPER, steps)).astype(np.int64).tolist()
    image = Image.new("P", (1, 1))
    image.putpalette([value for colour in colours for value in colour])
    return image


def _fitting(word: str, width: int) -> int:
    """The largest text size, up to the common one, at which `word` fits a box of `width`."""
    for size in range(TEXT_PX, 9, -1):
        if _font(size).getlength(word) <= width - 4:
            return size
    return 9
