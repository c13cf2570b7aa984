"""Spectrograms of a recording and its two stems, computed as they stream, on one scale.

A column is the mean power of a few windows spread over the time that it stands for; a row is a triangle-shaped band
on a logarithmic axis of frequency, one bin of the transform wide at least. Levels are decibels below the loudest
point of the recording. Work and memory do not grow with the recording: a longer one gets columns of more time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.pictures.picture import FAINT, LEFT, NIGHT, RIGHT, Picture, Plot, clock, drawn, spoken
from models.pictures.sheet import Colour, Sheet
from models.pictures.time_axis import AXIS_PX, draw_time_axis

LOW_HZ, HIGH_HZ = 50.0, 16_000.0
FLOOR_DB = -70.0
WIDTH, HEIGHT = 1000, 320
PLOT = Plot(left=84, top=44, width=892, height=232)
SIGNALS = ("mix", "left", "right")
_COLUMNS = PLOT.width
_WINDOW_S = 0.093  # as the separators' transform: 4,096 samples at 44.1 kHz
_WINDOWS = 2  # a column, at most
_MOST_SAMPLES = 1 << 20  # transformed at a time
_MOST_EXPECTED_S = 3600.0  # a column is kept in memory; headers lie
_TITLE_PX = 20
_GRID_HZ = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_TINY = 1e-20  # of power
_SOUNDS_DB = -40.0  # a column above that sounds; what is left of the other player mostly lies below
_MOST_OF_IT = (0.05, 0.95)  # of the energy


@dataclass(frozen=True)
class Levels:
    """What is drawn.

    Attributes
    ----------
    decibels : np.ndarray [shape=(3, rows, columns), float32]
        Of mix, left and right below the loudest point of the mix; low rows first.
    edges_hz : np.ndarray [shape=(rows + 1,), float64]
        Between the rows.
    bin_hz : float
        Between two bins of the transform.
    duration_s : float
        What the columns cover.
    """

    decibels: NDArray[np.float32]
    edges_hz: NDArray[np.float64]
    bin_hz: float
    duration_s: float


class SpectrogramStream:
    """Listens to both stems as they come.

    Parameters
    ----------
    sample_rate : int [Hz]
    channels : int
    expected_s : float
        About how long the recording is. If it is longer, columns are merged in pairs, as often as it takes.
    """

    def __init__(self, sample_rate: int, channels: int, expected_s: float) -> None:
        self._rate = sample_rate
        self._channels = channels
        self._size = 1 << max(4, round(math.log2(_WINDOW_S * sample_rate)))
        self._hop = max(1.0, min(expected_s, _MOST_EXPECTED_S) * sample_rate / _COLUMNS)
        self._most_at_once = max(1, _MOST_SAMPLES // (2 * channels * self._size * _WINDOWS))
        self._window = torch.hann_window(self._size, periodic=True)
        self._edges_hz, bands = _bands(sample_rate, self._size)
        self._bands = torch.from_numpy(bands)
        # Half a window before the recording, so that the first window is centred on its beginning.
        self._buffer = np.zeros((2 * channels, self._size // 2), np.float32)
        self._buffer_at = -(self._size // 2)
        self._received = 0
        self._columns: list[NDArray[np.float32]] = []  # (3, rows, n)
        self._count = 0

    def add(self, left: NDArray[np.float32], right: NDArray[np.float32]) -> None:
        """Take the next piece of both stems, each (channels, samples) float32, of one length."""
        self._received += left.shape[1]
        self._append(np.concatenate([left, right]))
        self._transform(self._buffer_at + self._buffer.shape[1])

    def finish(self) -> Levels:
        """Return the levels, after the last piece.

        Raises
        ------
        ValueError
            If no sample has come.
        """
        if not self._received:
            raise ValueError("a spectrogram needs at least one sample, none has come")
        silence = np.zeros((2 * self._channels, self._size + math.ceil(self._hop)), np.float32)
        self._append(silence)
        self._transform(self._buffer_at + self._buffer.shape[1], until=self._received)
        power = np.concatenate(self._columns, axis=2)
        decibels = 10.0 * np.log10(np.maximum(power, _TINY) / max(float(power[0].max()), _TINY))
        bin_hz = self._rate / self._size
        return Levels(decibels.astype(np.float32), self._edges_hz, bin_hz, self._received / self._rate)

    def _append(self, samples: NDArray[np.float32]) -> None:
        self._buffer = np.concatenate([self._buffer, samples], axis=1)

    def _transform(self, available: int, until: int | None = None) -> None:
        """Make all columns whose windows lie before `available`, and which begin before `until`."""
        half = self._size // 2
        while True:
            last = (available - half) / self._hop  # columns that are complete
            count = int(last) if until is None else min(int(last), max(1, math.ceil(until / self._hop - 1e-6)))
            count = min(count, 2 * _COLUMNS, self._count + self._most_at_once)
            if count <= self._count:
                break
            self._columns.append(self._powers(self._count, count))
            self._count = count
            if count == 2 * _COLUMNS:
                self._halve()
        # What lies before the next window is not needed any more.
        done = int(self._count * self._hop) - half - self._buffer_at
        if done > 0:
            self._buffer = self._buffer[:, done:].copy()
            self._buffer_at += done

    def _powers(self, first: int, end: int) -> NDArray[np.float32]:
        """The columns from `first` up to `end`: (3, rows, columns) float32."""
        windows = max(1, min(_WINDOWS, round(2 * self._hop / self._size)))
        centres = (np.arange(first * windows, end * windows) + 0.5) * self._hop / windows
        starts = np.floor(centres).astype(np.int64) - self._size // 2 - self._buffer_at
        # (2 channels, samples) -> (2 channels, windows, size), a view, of which those that are needed are copied
        framed = torch.from_numpy(self._buffer).unfold(1, self._size, 1)[:, torch.from_numpy(starts)]
        spectra = torch.view_as_real(torch.fft.rfft(framed * self._window)[..., : self._bands.shape[0]])
        left, right = spectra[: self._channels], spectra[self._channels :]
        rows = []
        for signal in (left + right, left, right):
            # (channels, windows, bins, 2) -> (windows, bins)
            power = signal.square().sum(dim=-1).mean(dim=0)
            # (windows, bins) -> (columns, bins)
            rows.append(power.reshape(end - first, windows, -1).mean(dim=1) @ self._bands)
        # (3, columns, rows) -> (3, rows, columns)
        found: NDArray[np.float32] = torch.stack(rows).transpose(1, 2).contiguous().numpy()
        return found

    def _halve(self) -> None:
        """Merge columns in pairs."""
        power = np.concatenate(self._columns, axis=2)
        self._columns = [(power[:, :, ::2] + power[:, :, 1::2]) * np.float32(0.5)]
        self._count //= 2
        self._hop *= 2


def draw_spectrograms(levels: Levels, left: str, right: str) -> list[Picture]:
    """Draw mix, left and right; `left` and `right` are the instruments' names."""
    names = {"mix": "the recording", "left": f"left: {spoken(left)}", "right": f"right: {spoken(right)}"}
    colours: dict[str, Colour] = {"mix": NIGHT.ink, "left": LEFT, "right": RIGHT}
    subjects = {
        "mix": "the recording",
        "left": f"the left stem, {spoken(left)}",
        "right": f"the right stem, {spoken(right)}",
    }
    return [
        drawn(
            signal,
            _sheet(levels.decibels[k], levels, names[signal], colours[signal]),
            f"Spectrogram of {subjects[signal]}, {clock(levels.duration_s)} long. {_told(levels.decibels[k], levels)}",
            PLOT,
        )
        for k, signal in enumerate(SIGNALS)
    ]


def spectrogram(decibels: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return `decibels` [shape=(rows, columns)], low rows first, as places on a ramp (height, width), 0 to 1, high
    frequencies at the top."""
    level = np.clip(1.0 - decibels / FLOOR_DB, 0.0, 1.0)[::-1].astype(np.float32)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(level)[None, None], size=(height, width), mode="bilinear", antialias=True, align_corners=False
    )
    found: NDArray[np.float32] = resized[0, 0].numpy()
    return found


def _sheet(decibels: NDArray[np.float32], levels: Levels, title: str, colour: Colour) -> Sheet:
    sheet = Sheet(WIDTH, HEIGHT, NIGHT)
    sheet.paste(sheet.ramp(spectrogram(decibels, PLOT.width, PLOT.height)), PLOT.left, PLOT.top)
    sheet.frame(PLOT.left - 1, PLOT.top - 1, PLOT.left + PLOT.width, PLOT.top + PLOT.height, FAINT)
    sheet.text((PLOT.left, 23), title, "lm", colour, _TITLE_PX)
    sheet.scale(PLOT.left + PLOT.width - 250, 17, 120, (f"{FLOOR_DB:.0f} dB", "0 dB, loudest"), AXIS_PX)
    low, high = levels.edges_hz[0], levels.edges_hz[-1]
    for hertz in _GRID_HZ:
        if not low <= hertz <= high:
            continue
        y = PLOT.top + PLOT.height * (1 - math.log(hertz / low) / math.log(high / low))
        sheet.line([(PLOT.left - 6, y), (PLOT.left - 1, y)], FAINT)
        sheet.text((PLOT.left - 12, y), _hertz(hertz), "rm", size=AXIS_PX)
    draw_time_axis(sheet, PLOT, levels.duration_s)
    return sheet


def _told(decibels: NDArray[np.float32], levels: Levels) -> str:
    """In words: where most of the energy lies, where it is loudest, how much of the time it sounds."""
    power = 10.0 ** (decibels.astype(np.float64) / 10.0)
    centres = np.sqrt(levels.edges_hz[:-1] * levels.edges_hz[1:])
    if decibels.max() < _SOUNDS_DB:
        return "Nothing is heard in it."
    # Low rows are finer than the transform's bins: several tell of one.
    by_row = power.sum(axis=1) * np.minimum(1.0, np.diff(levels.edges_hz) / levels.bin_hz)
    share = np.cumsum(by_row) / by_row.sum()
    low, high = (centres[int(np.searchsorted(share, edge))] for edge in _MOST_OF_IT)
    row, column = np.unravel_index(int(decibels.argmax()), decibels.shape)
    at_s = (int(column) + 0.5) * levels.duration_s / decibels.shape[1]
    sounding = float((decibels.max(axis=0) > _SOUNDS_DB).mean())
    return (
        f"Most of its energy lies between {_hertz(low)} and {_hertz(high)}; it is loudest at {clock(at_s)}, around "
        f"{_hertz(centres[int(row)])}, and sounds for {sounding:.0%} of the time."
    )


def _hertz(hertz: float) -> str:
    if hertz >= 1_000:
        return f"{hertz / 1000:.1f}".removesuffix(".0") + " kHz"
    return f"{hertz:.0f} Hz"


def _bands(sample_rate: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Edges of the rows (rows + 1) in Hz, and what each takes of each bin (bins, rows): a triangle about the row's
    middle, 1 at its peak, so that a tone is as bright wherever it lies."""
    high_hz = min(HIGH_HZ, sample_rate / 2)
    edges = LOW_HZ * (high_hz / LOW_HZ) ** (np.arange(PLOT.height + 1) / PLOT.height)
    centres = np.sqrt(edges[:-1] * edges[1:])
    bin_hz = sample_rate / size
    bins = np.arange(min(size // 2 + 1, math.ceil(high_hz / bin_hz) + 1)) * bin_hz
    half = np.maximum(np.diff(edges), bin_hz)
    return edges, np.maximum(0.0, 1.0 - np.abs(bins[:, None] - centres) / half).astype(np.float32)
