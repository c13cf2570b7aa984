"""The eight instruments, in the report's label order, with the ImageNet-1k class that stands for each.

Every array with an instrument axis, every bases file and every network output keeps this order.
Source: report section 2.3.1 and the error analysis in 3.2.1, which prints the order.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import UnknownInstrument


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument: its place in the order, its name, and what ImageNet calls it."""

    index: int
    name: str
    imagenet_id: int
    imagenet_name: str


INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument(0, "accordion", 401, "accordion"),
    Instrument(1, "acoustic_guitar", 402, "acoustic guitar"),
    Instrument(2, "cello", 486, "cello"),
    Instrument(3, "trumpet", 513, "cornet"),
    Instrument(4, "flute", 558, "flute"),
    Instrument(5, "xylophone", 642, "marimba"),
    Instrument(6, "saxophone", 776, "sax"),
    Instrument(7, "violin", 889, "violin"),
)
NAMES: tuple[str, ...] = tuple(instrument.name for instrument in INSTRUMENTS)
IMAGENET_IDS: tuple[int, ...] = tuple(instrument.imagenet_id for instrument in INSTRUMENTS)


def index_of(name: str) -> int:
    """Return the place of the instrument called `name` (0 to 7).

    Raises
    ------
    UnknownInstrument
        If `name` is none of the eight.
    """
    try:
        return NAMES.index(name)
    except ValueError:
        raise UnknownInstrument(f"no instrument is called {name!r}; the eight are {', '.join(NAMES)}") from None


def named_sides(left: str | None, right: str | None) -> tuple[int | None, int | None]:
    """Return the places of the instruments that a user named for the two sides; None where none is named.

    Raises
    ------
    UnknownInstrument, ValueError
        If a name is none of the eight, or both are the same.
    """
    named = (None if left is None else index_of(left), None if right is None else index_of(right))
    if left is not None and left == right:
        raise ValueError(f"both sides are named {left}; a duet of one instrument cannot be told apart by instrument")
    return named
