"""The time axis below a plot."""

from __future__ import annotations

from models.pictures.picture import FAINT, QUIET, Plot, clock
from models.pictures.sheet import Sheet, text_width

AXIS_PX = 17
"""Size of the text along axes."""
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_LEAST_PX = 100  # between two marks


def time_step_s(duration_s: float, width: int) -> float:
    """Return how far apart the marks of an axis `width` pixels long stand, in seconds."""
    least = duration_s * _LEAST_PX / width
    return next((step for step in _STEPS_S if step >= least), least)


def draw_time_axis(sheet: Sheet, plot: Plot, duration_s: float) -> None:
    """Draw marks and times below `plot`, which lasts `duration_s`; 44 pixels high."""
    step = time_step_s(duration_s, plot.width)
    bottom = plot.top + plot.height
    for k in range(int(duration_s / step + 1e-6) + 1):
        x = plot.left + plot.width * k * step / duration_s
        sheet.line([(x, bottom + 1), (x, bottom + 6)], FAINT)
        words = clock(k * step) if step >= 1 else f"{k * step:.1f}"
        # The first one leaves space for the unit; the last one stays on the sheet.
        x = max(x, plot.left + text_width(words, AXIS_PX) / 2)
        x = min(x, sheet.width - 4 - text_width(words, AXIS_PX) / 2)
        sheet.text((x, bottom + 18), words, "mm", size=AXIS_PX)
    unit = "s" if step < 1 else "min:s" if duration_s < 3600 else "h:min:s"
    sheet.text((plot.left - 12, bottom + 18), unit, "rm", QUIET, AXIS_PX)
