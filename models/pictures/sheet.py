"""What pictures are drawn with: a sheet in a theme, a colour ramp, a grid of numbered cells.

Positions and sizes are in pixels from the top left. The same drawing gives the same PNG bytes with the same Pillow.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]
Colour = tuple[int, int, int]
Anchor = Literal["lm", "mm", "rm", "mt", "mb", "lt", "rt"]

TEXT_PX = 15
_TURNS = 0.55
"""Place on the ramp from which text inside a cell changes between ink and paper."""


@dataclass(frozen=True)
class Theme:
    """The colours of a sheet.

    Attributes
    ----------
    paper, ink, faint
        Ground, text, lines that help the eye.
    stops
        The ramp's colours, evenly spaced; lightness must change in one direction all the way, so that the ramp also
        reads in grey and for people of any colour vision.
    marks
        Whatever else is drawn with.
    steps
        How many colours of the ramp a PNG keeps.
    """

    paper: Colour
    ink: Colour
    faint: Colour
    stops: tuple[Colour, ...]
    marks: tuple[Colour, ...]
    steps: int


class Sheet:
    """A picture to draw on, with text in Pillow's own font."""

    def __init__(self, width: int, height: int, theme: Theme) -> None:
        self.width, self.height, self.theme = width, height, theme
        self._image = Image.new("RGB", (width, height), theme.paper)
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self, at: Point, words: str, anchor: Anchor = "lm", colour: Colour | None = None, size: int = TEXT_PX
    ) -> None:
        """Write `words` with their `anchor` (Pillow's two letters) at a point; in ink, if no colour is given."""
        self._draw.text(at, words, colour or self.theme.ink, font=_font(size), anchor=anchor)

    def line(self, points: Sequence[Point], colour: Colour | None = None, width: int = 1) -> None:
        """Join points."""
        self._draw.line([*points], colour or self.theme.ink, width, joint="curve")

    def frame(self, left: float, top: float, right: float, bottom: float, colour: Colour, width: int = 1) -> None:
        """Draw the outline of a box, whose corners both belong to it."""
        self._draw.rectangle((left, top, right, bottom), outline=colour, width=width)

    def fill(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a box, whose corners both belong to it."""
        self._draw.rectangle((left, top, right, bottom), colour)

    def triangle(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        self._draw.polygon([*points], fill=colour)

    def paste(self, colours: NDArray[np.uint8], left: int, top: int) -> None:
        """Put an image of shape (height, width, 3) on the sheet."""
        self._image.paste(Image.fromarray(colours), (left, top))

    def ramp(self, level: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return the theme's colours [shape=(..., 3), uint8] of levels [shape=(...), float], 0 to 1; what lies outside
        is clipped."""
        stops = np.array(self.theme.stops, np.float64)
        position = np.clip(level, 0.0, 1.0) * (len(stops) - 1)
        below = np.minimum(position.astype(np.int64), len(stops) - 2)
        share = (position - below)[..., None]
        return np.asarray(np.round(stops[below] * (1 - share) + stops[below + 1] * share), dtype=np.uint8)

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
        colours = self.ramp(values)
        for row, line in enumerate(words):
            for column, word in enumerate(line):
                left, top = at[0] + column * width, at[1] + row * height
                fill = (int(colours[row, column, 0]), int(colours[row, column, 1]), int(colours[row, column, 2]))
                self._draw.rectangle((left, top, left + width - 1, top + height - 1), fill, outline=self.theme.faint)
                ink = self.theme.paper if values[row, column] > _TURNS else self.theme.ink
                self.text((left + width / 2, top + height / 2), word, "mm", ink, _fitting(word, width))

    def scale(self, left: int, top: int, width: int, words: tuple[str, str], size: int = TEXT_PX) -> None:
        """Draw the colour ramp with what its two ends stand for."""
        bar = np.broadcast_to(self.ramp(np.linspace(0.0, 1.0, width))[None], (12, width, 3))
        self.text((left - 8, top + 6), words[0], "rm", size=size)
        self.paste(np.ascontiguousarray(bar), left, top)
        self.frame(left, top, left + width - 1, top + 11, self.theme.faint)
        self.text((left + width + 8, top + 6), words[1], "lm", size=size)

    def png(self) -> bytes:
        """Return the sheet as a PNG with a palette, a third of the size of one without."""
        stream = io.BytesIO()
        palette = _palette(self.theme)
        self._image.quantize(palette=palette, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        return stream.getvalue()

    def photo_png(self) -> bytes:
        """Return a sheet with a photo on it as a PNG in all its colours."""
        stream = io.BytesIO()
        self._image.save(stream, "PNG")
        return stream.getvalue()


def text_width(words: str, size: int = TEXT_PX) -> float:
    """Return how many pixels `words` take."""
    return _font(size).getlength(words)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


@cache
def _palette(theme: Theme) -> Image.Image:
    """The ramp, and each other colour with what smoothing its edges makes of it on paper."""
    ramp = Sheet(1, 1, theme).ramp(np.linspace(0.0, 1.0, theme.steps))
    colours = [*ramp.tolist(), theme.faint]
    for colour, steps in ((theme.ink, 10), *((mark, 6) for mark in theme.marks)):
        colours += np.round(np.linspace(colour, theme.paper, steps)).astype(np.int64).tolist()
    image = Image.new("P", (1, 1))
    image.putpalette([value for colour in colours for value in colour])
    return image


def _fitting(word: str, width: int) -> int:
    """The largest text size, up to the common one, at which `word` fits a box of `width`."""
    for size in range(TEXT_PX, 9, -1):
        if text_width(word, size) <= width - 4:
            return size
    return 9
