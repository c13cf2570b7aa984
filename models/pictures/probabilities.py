"""How probable each of the eight instruments is on either side, frame by frame: a dark cell is a no, a bright one a
yes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.instruments import NAMES
from models.pictures.picture import FAINT, LEFT, NIGHT, QUIET, RIGHT, Picture, Plot, clock, drawn, spoken
from models.pictures.sheet import Colour, Sheet
from models.pictures.time_axis import AXIS_PX, draw_time_axis

_ROW_PX = 22
_TITLE_PX = 20
_LEFT_PX, _RIGHT_PX = 150, 74
_TOP_PX, _BETWEEN_PX, _BOTTOM_PX = 44, 44, 44
_WIDTH = 1000
_PANEL_PX = _ROW_PX * len(NAMES)
_HEIGHT = _TOP_PX + _PANEL_PX + _BETWEEN_PX + _PANEL_PX + _BOTTOM_PX
PLOT = Plot(_LEFT_PX, _TOP_PX, _WIDTH - _LEFT_PX - _RIGHT_PX, 2 * _PANEL_PX + _BETWEEN_PX)
_GAP_FROM_PX = 12  # cells as wide as this are told apart by a gap


def draw_probabilities(
    times_s: Sequence[float],
    probabilities: tuple[NDArray[np.float32], NDArray[np.float32]],
    labels: tuple[str, str],
    duration_s: float,
) -> Picture:
    """Draw what a tagger says of the left side (above) and of the right one (below).

    Parameters
    ----------
    times_s : sequence of float
        When each frame is shown, rising.
    probabilities : two of np.ndarray [shape=(frames, 8), float32, 0..1]
        Of left and right, in the order of :mod:`models.instruments`.
    labels : (str, str)
        Who plays, in the end, on the left and on the right.
    duration_s : float
        How long the time axis is.

    Raises
    ------
    ValueError
        If there is no frame, or not one row for each.
    """
    if not times_s or any(one.shape != (len(times_s), len(NAMES)) for one in probabilities):
        shapes = " and ".join(str(one.shape) for one in probabilities)
        raise ValueError(f"wanted a row of 8 for each of {len(times_s)} frames, and one frame at least, got {shapes}")
    sheet = Sheet(_WIDTH, _HEIGHT, NIGHT)
    edges = _edges(times_s, duration_s)
    sides = ("left", "right")
    for k, (side, colour) in enumerate(zip(sides, (LEFT, RIGHT), strict=True)):
        top = PLOT.top + k * (_PANEL_PX + _BETWEEN_PX)
        sheet.text((PLOT.left, top - 21), f"{side}: {spoken(labels[k])}", "lm", colour, _TITLE_PX)
        sheet.text((_WIDTH - 12, top - 21), "mean", "rm", QUIET, AXIS_PX)
        _panel(sheet, top, edges, probabilities[k], labels[k], colour)
    sheet.scale(PLOT.left + PLOT.width - 280, 17, 120, ("0", "1, probability"), AXIS_PX)
    draw_time_axis(sheet, PLOT, duration_s)
    told = [_told(side, label, one) for side, label, one in zip(sides, labels, probabilities, strict=True)]
    frames = f"{len(times_s)} frames" if len(times_s) > 1 else "one frame"
    between = f" from {clock(times_s[0])} to {clock(times_s[-1])}" if len(times_s) > 1 else ""
    alt = f"How probable each of the eight instruments is in {frames}{between}. {told[0]} {told[1]}"
    return drawn("probabilities", sheet, alt, PLOT)


def _panel(
    sheet: Sheet, top: int, edges: list[float], probabilities: NDArray[np.float32], label: str, colour: Colour
) -> None:
    colours = sheet.ramp(probabilities)
    gap = 1 if min(b - a for a, b in pairwise(edges)) >= _GAP_FROM_PX else 0
    means = probabilities.mean(axis=0)
    for row, name in enumerate(NAMES):
        upper = top + row * _ROW_PX
        chosen = name == label
        middle = upper + _ROW_PX / 2
        sheet.text((PLOT.left - 12, middle), spoken(name), "rm", colour if chosen else QUIET, AXIS_PX)
        sheet.text((_WIDTH - 12, middle), f"{means[row]:.2f}", "rm", colour if chosen else QUIET, AXIS_PX)
        for column, (left, right) in enumerate(pairwise(edges)):
            red, green, blue = (int(value) for value in colours[column, row])
            sheet.fill(round(left), upper, round(max(left, right - 1 - gap)), upper + _ROW_PX - 2, (red, green, blue))
    sheet.frame(PLOT.left - 1, top - 1, PLOT.left + PLOT.width, top + _PANEL_PX - 1, FAINT)


def _edges(times_s: Sequence[float], duration_s: float) -> list[float]:
    """Where the frames' cells begin and end, in pixels: half way between two frames."""
    times = np.clip(np.asarray(times_s, np.float64), 0.0, duration_s)
    between = [0.0, *((times[:-1] + times[1:]) / 2), duration_s]
    return [PLOT.left + PLOT.width * moment / duration_s for moment in between]


def _told(side: str, label: str, probabilities: NDArray[np.float32]) -> str:
    means = probabilities.mean(axis=0)
    first, second = np.argsort(-means, kind="stable")[:2]
    rest = "all others below 0.01" if means[second] < 0.01 else f"then {spoken(NAMES[second])} {means[second]:.2f}"
    seen = f"{spoken(NAMES[first])} {means[first]:.2f} on average, {rest}"
    taken = "" if NAMES[first] == label else f"; taken for {spoken(label)} in the end"
    return f"On the {side}: {seen}{taken}."
