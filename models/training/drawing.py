"""The colours of the training report's pictures: dark on white, as on paper."""

from __future__ import annotations

from models.pictures.sheet import Sheet, Theme

INK, FAINT, PAPER, LINE = (35, 38, 52), (213, 216, 220), (255, 255, 255), (34, 94, 168)
MARK = (213, 94, 0)
"""Vermilion of Okabe and Ito: told from every colour of the ramp by people of any colour vision."""
# Pale yellow over green to dark blue.
_STOPS = ((255, 255, 229), (199, 233, 180), (65, 182, 196), (34, 94, 168), (8, 29, 88))
_ON_PAPER = Theme(PAPER, INK, FAINT, _STOPS, (MARK, LINE), steps=41)


def new_sheet(width: int, height: int) -> Sheet:
    """Return a sheet of white paper, its sides in pixels."""
    return Sheet(width, height, _ON_PAPER)
