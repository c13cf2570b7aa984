"""The pictures of the training report: confusion matrix, training curve, class-basis maps, kept bases."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.instruments import NAMES
from models.pictures.sheet import Sheet
from models.stft import N_FREQ, SAMPLE_RATE
from models.training.drawing import FAINT, INK, LINE, MARK, new_sheet
from models.training.networks import Epoch
from models.training.refining import Point

_LABELS_PX = 130
_TOP_HZ, _LOW_HZ = 16_000.0, 40.0
_FLOOR_DB = -60.0
_STEP_DB = 4.0
"""Levels are drawn in steps: finer ones cannot be seen and make larger files."""
_GRID_HZ = (100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_LOWEST_PITCH, _HIGHEST_PITCH = 33, 106
"""MIDI, A1 to B flat 7: somewhat beyond what the eight instruments play."""
_PARTIALS, _PARTIAL_DECAY = 12, 0.7
_PEAK_FLOOR = 0.03
"""Share of a basis's own peak below which its local peaks count as noise."""
_SHARE_SPANS = ((0.1, 5), (0.2, 4), (0.5, 5), (1.0, 5))
"""How far an axis of shares reaches below 1, and in how many steps."""


def spoken(name: str) -> str:
    """Return an instrument's name as it is written in text."""
    return name.replace("_", " ")


def draw_confusion(counts: NDArray[np.int64]) -> Sheet:
    """Draw how many segments of each class (row) were taken for which (column).

    Parameters
    ----------
    counts : np.ndarray [shape=(8, 8), int64]
        Colours are shares of a row; numbers are segments.
    """
    cell, height, top = 96, 44, 74
    sheet = new_sheet(_LABELS_PX + 8 * cell + 20, top + 8 * height + 56)
    sheet.text((_LABELS_PX + 4 * cell, 18), "taken for", "mm")
    sheet.text((_LABELS_PX - 12, 52), "really", "rm")
    for index, name in enumerate(NAMES):
        sheet.text((_LABELS_PX + (index + 0.5) * cell, 52), spoken(name).replace("acoustic ", "ac. "), "mm")
        sheet.text((_LABELS_PX - 12, top + (index + 0.5) * height), spoken(name), "rm")
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    words = [[str(count) if count else "" for count in row] for row in counts.tolist()]
    sheet.cells(shares, words, (_LABELS_PX, top), (cell, height))
    for index in range(8):
        left, upper = _LABELS_PX + index * cell, top + index * height
        sheet.frame(left, upper, left + cell - 1, upper + height - 1, INK, 2)
    sheet.scale(_LABELS_PX + 60, top + 8 * height + 24, 200, ("none", "all segments of the row"))
    return sheet


def draw_curve(history: list[Epoch]) -> Sheet:
    """Draw loss (logarithmic) and held-out accuracy over the epochs, one above the other."""
    sheet = new_sheet(900, 560)
    left, right = 80, 870
    first, last = history[0].number, history[-1].number

    def across(epoch: float) -> float:
        return left + (right - left) * (epoch - first) / max(1, last - first)

    losses = [max(epoch.loss, 1e-6) for epoch in history]
    low, high = math.floor(math.log10(min(losses))), math.ceil(math.log10(max(losses)))
    high = max(high, low + 1)
    _panel(
        sheet,
        (left, 50, right, 280),
        "mean loss of the epoch, NLL (logarithmic)",
        [(f"{10.0**power:g}", (power - low) / (high - low)) for power in range(low, high + 1)],
        [(across(e.number), (math.log10(loss) - low) / (high - low)) for e, loss in zip(history, losses, strict=True)],
    )
    worst = min(epoch.held_out for epoch in history)
    span, steps = next((span, steps) for span, steps in _SHARE_SPANS if 1.0 - span <= worst)
    _panel(
        sheet,
        (left, 340, right, 500),
        "share of held-out segments classified right",
        [(f"{1.0 - span * (1.0 - step / steps):.3g}", step / steps) for step in range(steps + 1)],
        [(across(epoch.number), 1.0 - (1.0 - epoch.held_out) / span) for epoch in history],
    )
    marks = sorted({first, last, *range(10 * math.ceil(first / 10), last, max(10, 10 * round((last - first) / 100)))})
    for mark in marks:
        if mark in (first, last) or min(mark - first, last - mark) > (last - first) / 25:
            sheet.text((across(mark), 516), str(mark), "mm")
    sheet.text(((left + right) / 2, 542), "epoch", "mm")
    return sheet


def draw_gain(curve: list[Point]) -> Sheet:
    """Draw the learned separator's gain over guided NMF, on what it learnt from and on what was held out."""
    sheet = new_sheet(900, 420)
    left, top, right, bottom = 80, 50, 870, 360
    gains = [gain for point in curve for gain in (point.trained_db, point.held_out_db)]
    low, high = min(0, math.floor(min(gains))), max(1, math.ceil(max(gains)))
    last = curve[-1].step

    def place(point: Point, gain: float) -> tuple[float, float]:
        return left + (right - left) * point.step / last, (gain - low) / (high - low)

    ticks = [(f"{gain} dB", (gain - low) / (high - low)) for gain in range(low, high + 1)]
    held = [place(point, point.held_out_db) for point in curve]
    _panel(sheet, (left, top, right, bottom), "gain over guided NMF (thick: held out, thin: learnt from)", ticks, held)
    trained = [place(point, point.trained_db) for point in curve]
    sheet.line([(x, bottom - share * (bottom - top)) for x, share in trained], MARK, 1)
    for step in (0, last // 2, last):
        sheet.text((left + (right - left) * step / last, bottom + 16), f"{step:,}", "mm")
    sheet.text(((left + right) / 2, bottom + 42), "step", "mm")
    return sheet


def draw_relation(X: NDArray[np.float32], label: int, picked: int | None) -> Sheet:
    """Draw the class-basis map of one segment (the figure of report section 2.3.2).

    Parameters
    ----------
    X : np.ndarray [shape=(8, M), float32]
        Rows are classes, columns the segment's bases.
    label, picked
        The segment's own class, and the basis picked from its row (None where the segment was taken for
        another class, and none is); both are marked.
    """
    cell, height, top = 36, 28, 46
    columns = X.shape[1]
    sheet = new_sheet(_LABELS_PX + columns * cell + 20, top + 8 * height + 66)
    for column in range(columns):
        sheet.text((_LABELS_PX + (column + 0.5) * cell, 32), str(column + 1), "mm", size=12)
    sheet.text((_LABELS_PX - 12, 32), "basis", "rm", size=12)
    for index, name in enumerate(NAMES):
        sheet.text((_LABELS_PX - 12, top + (index + 0.5) * height), spoken(name), "rm", MARK if index == label else INK)
    largest = max(float(X.max()), 1e-9)
    words = [[f"{value:.1f}" if value < 99.95 else f"{value:.0f}" for value in row] for row in X.tolist()]
    sheet.cells(X / largest, words, (_LABELS_PX, top), (cell, height))
    sheet.scale(_LABELS_PX + 20, top + 8 * height + 26, 200, ("0", f"{largest:.1f}"))
    if picked is None:
        return sheet
    left, upper = _LABELS_PX + picked * cell, top + label * height
    sheet.frame(left - 2, upper - 2, left + cell + 1, upper + height + 1, MARK, 3)
    middle = left + cell / 2
    sheet.triangle([(middle - 7, 8), (middle + 7, 8), (middle, 21)], MARK)
    sheet.text((_LABELS_PX + 360, top + 8 * height + 32), f"picked: basis {picked + 1}, X = {X[label, picked]:.1f}")
    return sheet


def draw_bases(columns: NDArray[np.float32]) -> Sheet:
    """Draw bases side by side, low pitches first, each over 60 dB below its own peak.

    Parameters
    ----------
    columns : np.ndarray [shape=(freq, n), float32], n > 0
    """
    left, top, height, width = 70, 12, 250, 800
    sheet = new_sheet(left + width + 20, top + height + 52)
    order = np.argsort(pitches(columns), kind="stable")
    level = _levels(columns[:, order], height)
    # (height, n) -> (height, width): each basis as wide as the others, to the pixel
    spread = level[:, (np.arange(width) * level.shape[1]) // width]
    sheet.paste(sheet.ramp(spread), left, top)
    for hertz in _GRID_HZ:
        y = top + height * (1 - math.log(hertz / _LOW_HZ) / math.log(_TOP_HZ / _LOW_HZ))
        sheet.line([(left - 6, y), (left - 1, y)])
        sheet.text((left - 10, y), f"{hertz / 1000:g} kHz" if hertz >= 1000 else f"{hertz} Hz", "rm", size=12)
    sheet.frame(left - 1, top - 1, left + width, top + height, INK)
    bottom = top + height + 14
    count = columns.shape[1]
    sheet.text((left, bottom + 6), f"{count} {'basis' if count == 1 else 'bases'}, low to high")
    sheet.scale(left + width - 260, bottom, 160, (f"{_FLOOR_DB:.0f} dB", "own peak"))
    return sheet


def pitches(columns: NDArray[np.float32]) -> NDArray[np.float64]:
    """Estimate the pitch of each basis: the fundamental whose partials, falling in weight, hold the most magnitude.

    Good enough to put bases in order; a basis of breath or bow noise has no pitch and gets one all the same.

    Parameters
    ----------
    columns : np.ndarray [shape=(freq, n), float32]

    Returns
    -------
    np.ndarray [shape=(n,), float64], MIDI numbers in steps of a quarter of a semitone
    """
    candidates = np.arange(_LOWEST_PITCH, _HIGHEST_PITCH, 0.25)
    bins_per_hz = (N_FREQ - 1) / (SAMPLE_RATE / 2)
    compressed = np.sqrt(_peaks(columns))
    salience = np.zeros((len(candidates), columns.shape[1]))
    for partial in range(1, _PARTIALS + 1):
        place = partial * 440.0 * 2.0 ** ((candidates - 69.0) / 12.0) * bins_per_hz
        inside = place < N_FREQ - 1
        below = np.where(inside, place, 0.0).astype(np.int64)
        share = (np.where(inside, place, 0.0) - below)[:, None]
        amount = compressed[below] * (1 - share) + compressed[below + 1] * share
        salience += np.where(inside[:, None], amount, 0.0) * _PARTIAL_DECAY ** (partial - 1)
    return np.asarray(candidates[salience.argmax(axis=0)], dtype=np.float64)


def _peaks(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep of each basis, scaled to a peak of 1, its local peaks and the bin to either side; the rest is 0."""
    scaled = columns / np.maximum(columns.max(axis=0), 1e-12)
    loud = scaled > _PEAK_FLOOR
    peak = np.zeros_like(loud)
    peak[1:-1] = loud[1:-1] & (scaled[1:-1] >= scaled[:-2]) & (scaled[1:-1] >= scaled[2:])
    kept = peak.copy()
    kept[1:] |= peak[:-1]
    kept[:-1] |= peak[1:]
    return np.where(kept & loud, scaled, np.float32(0.0))


def _levels(columns: NDArray[np.float32], height: int) -> NDArray[np.float64]:
    """Magnitudes on a logarithmic frequency axis, high at the top, as places on the colour ramp."""
    edges_hz = _LOW_HZ * (_TOP_HZ / _LOW_HZ) ** (np.arange(height + 1) / height)
    edges = edges_hz * (N_FREQ - 1) / (SAMPLE_RATE / 2)
    decibels = 20.0 * np.log10(np.maximum(columns / np.maximum(columns.max(axis=0), 1e-12), 1e-9))
    rows = np.empty((height, columns.shape[1]))
    for row, (low, high) in enumerate(pairwise(edges)):
        inside = np.arange(math.ceil(low), math.ceil(high))
        if len(inside):
            rows[row] = decibels[inside].max(axis=0)
        else:
            # Low rows are finer than the transform's bins.
            middle = (low + high) / 2
            share = middle - int(middle)
            rows[row] = decibels[int(middle)] * (1 - share) + decibels[int(middle) + 1] * share
    stepped = np.round(np.clip(rows, _FLOOR_DB, 0.0) / _STEP_DB) * _STEP_DB
    return np.asarray(1.0 - stepped[::-1] / _FLOOR_DB)


def _panel(
    sheet: Sheet,
    box: tuple[int, int, int, int],
    title: str,
    ticks: list[tuple[str, float]],
    points: list[tuple[float, float]],
) -> None:
    """One curve with its axis: ticks and points are given as shares of the height, from below."""
    left, top, right, bottom = box

    def up(share: float) -> float:
        return bottom - share * (bottom - top)

    sheet.text((left, top - 18), title)
    for word, share in ticks:
        sheet.line([(left, up(share)), (right, up(share))], FAINT)
        sheet.text((left - 10, up(share)), word, "rm")
    sheet.frame(left, top, right, bottom, INK)
    curve = [(x, up(share)) for x, share in points]
    sheet.line(curve, LINE, 3)
    if len(curve) == 1:
        sheet.triangle([(curve[0][0] + dx, curve[0][1] + dy) for dx, dy in ((-5, 0), (0, -5), (5, 0), (0, 5))], MARK)
