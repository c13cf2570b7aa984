"""A picture of a separation, and the colours that all of them share."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.pictures.sheet import Colour, Sheet, Theme

LEFT: Colour = (143, 193, 238)
RIGHT: Colour = (238, 176, 143)
"""The players: blue and orange, which people of any colour vision tell apart, here by lightness too."""
PAPER: Colour = (22, 24, 33)
INK: Colour = (232, 234, 240)
QUIET: Colour = (164, 168, 184)
"""Of text that matters less."""
FAINT: Colour = (96, 100, 118)
"""Of lines."""
# Dark blue over magenta and orange to pale yellow: ever lighter.
_STOPS = ((12, 10, 38), (87, 22, 110), (187, 55, 84), (249, 142, 9), (252, 255, 200))
# Dark, so that a picture is at home in a light page as in a dark one: a spectrogram is dark anyway.
NIGHT = Theme(PAPER, INK, FAINT, _STOPS, (LEFT, RIGHT, QUIET), steps=48)


@dataclass(frozen=True)
class Plot:
    """Where in a picture the axes lie, in pixels from its top left; time runs from left to right over all of it."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """A PNG.

    Attributes
    ----------
    name : str
        Without suffix: ``mix``.
    png : bytes
    width, height : int [pixels]
    alt : str
        In words, what is to be seen.
    plot : Plot or None
        Where the recording's time axis lies, if the picture has one.
    """

    name: str
    png: bytes = field(repr=False)
    width: int
    height: int
    alt: str
    plot: Plot | None

    def _repr_png_(self) -> bytes:
        return self.png


def drawn(name: str, sheet: Sheet, alt: str, plot: Plot) -> Picture:
    """Return what is on a sheet as a picture."""
    return Picture(name, sheet.png(), sheet.width, sheet.height, alt, plot)


def clock(seconds: float) -> str:
    """Return a time as people write it: ``0:07``, ``1:02:30``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60
    return f"{hours}:{minutes % 60:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def spoken(instrument: str) -> str:
    """Return an instrument's name as it is written in text."""
    return instrument.replace("_", " ")
