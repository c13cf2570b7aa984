"""The two stems on their way into files: as they are where floats are asked for, else in a second pass.

Integers and mp3 hold no level beyond full scale, and a stem may be louder than the mix it is part of. Whether one is,
shows when the last block has come. So floats wait in a file without a name until then; if they do not fit, both
stems are turned down by the same gain, so that they still add up to the recording but for that gain.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from app.stem_formats import Bits, StemFormat
from app.stem_names import stem_names
from worker.errors import Canceled, StemFormatUnfit
from worker.media import flac, mp3
from worker.media.quantisation import fitting_gain_db
from worker.media.resampling import Resampler
from worker.media.wav import WavWriter
from worker.media.writer import SampleWriter

Samples = NDArray[np.float32]

_PASS_SAMPLES = 1 << 16  # of each channel, that the second pass holds at a time


def check_fit(stem_format: StemFormat, sample_rate: int, channels: int) -> None:
    """Return if stems with so many channels and so many samples a second can be had in that format.

    Raises
    ------
    StemFormatUnfit
        If not.
    """
    if stem_format == "mp3" and channels > mp3.MAX_CHANNELS:
        raise StemFormatUnfit(
            f"The recording has {channels} channels, and an mp3 holds {mp3.MAX_CHANNELS} at most. "
            "Post it again with format flac or wav, or mixed down to stereo."
        )
    if stem_format == "flac" and (channels > flac.MAX_CHANNELS or sample_rate > flac.MAX_SAMPLE_RATE):
        raise StemFormatUnfit(
            f"The recording has {channels} channels of {sample_rate:,} samples a second; flac holds "
            f"{flac.MAX_CHANNELS} channels of {flac.MAX_SAMPLE_RATE:,} at most. Post it again with format wav."
        )


class StemPair:
    """Writes both stems. A context manager: on a clean exit after `finish` both files are whole and on the disk;
    when the body raised, there is none.

    Attributes
    ----------
    sample_rate : int
        Hz, of the files: that of the sound, but for an mp3 of a rate that mp3 does not know.
    samples : int
        Taken so far, at the rate of the sound.
    gain_db : float
        0, or, from `finish` on, what both stems were turned down by to fit, negative.
    """

    def __init__(
        self, folder: Path, stem_format: StemFormat, bits: Bits | None, sample_rate: int, channels: int
    ) -> None:
        """Prepare stems in `folder` of sound with so many `channels`, and `sample_rate` in Hz.

        Raises
        ------
        StemFormatUnfit
            If the format cannot hold that.
        """
        check_fit(stem_format, sample_rate, channels)
        self.sample_rate = mp3.nearest_rate(sample_rate) if stem_format == "mp3" else sample_rate
        self.samples = 0
        self.gain_db = 0.0
        self._folder = folder
        self._format = stem_format
        self._bits = bits
        self._sound_rate = sample_rate
        self._channels = channels
        self._open = ExitStack()
        self._sinks: list[WavWriter] | list[_Spool] = []
        self._resamplers: list[Resampler] = []
        if self.sample_rate != sample_rate:
            self._resamplers = [Resampler(channels, sample_rate, self.sample_rate) for _ in range(2)]

    def __enter__(self) -> Self:
        # Left to itself only once all is open: what fails half way is closed and removed.
        with ExitStack() as opened:
            if self._bits == 32:
                self._sinks = [opened.enter_context(WavWriter(path, self._sound_rate, self._channels))
                               for path in self._paths()]  # fmt: skip
            else:
                self._sinks = [opened.enter_context(_Spool(self._folder, self._channels)) for _ in range(2)]
            self._open = opened.pop_all()
        return self

    def write(self, left: Samples, right: Samples) -> None:
        """Append a block to either stem; both (channels, samples) float32, full scale 1.0, of the same length.

        Raises
        ------
        ValueError
            If a shape or type is another.
        """
        for block in (left, right):
            if block.shape != (self._channels, left.shape[-1]) or block.dtype != np.float32:
                raise ValueError(
                    f"wanted two blocks of float32 of one shape ({self._channels}, samples), got {left.dtype} of "
                    f"shape {left.shape} and {right.dtype} of shape {right.shape}"
                )
        for place, block in enumerate((left, right)):
            self._sinks[place].write(self._resamplers[place].push(block) if self._resamplers else block)
        self.samples += left.shape[1]

    def finish(
        self,
        progress: Callable[[float], None] = lambda _fraction: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Write what waits: after the last block, in the body. `progress` is told 0 to 1.

        Raises
        ------
        Canceled
            If `should_stop` returned true.
        """
        for place, resampler in enumerate(self._resamplers):
            self._sinks[place].write(resampler.finish())
        left, right = self._sinks
        if not isinstance(left, _Spool) or not isinstance(right, _Spool):
            return
        self.gain_db = fitting_gain_db(min(left.lowest, right.lowest), max(left.highest, right.highest), self._bits)
        gain = 10.0 ** (self.gain_db / 20.0)
        first, second = self._paths()
        with self._encoder(first) as one, self._encoder(second) as other:
            for blocks in zip(left.blocks(), right.blocks(), strict=True):
                if should_stop():
                    raise Canceled
                for encoder, block in zip((one, other), blocks, strict=True):
                    encoder.write(block if self.gain_db == 0.0 else (block * gain).astype(np.float32))
                progress(one.samples / left.samples)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def warnings(self) -> list[str]:
        """In plain words, how the files differ from what was separated."""
        told = []
        if self.gain_db < 0.0:
            held = f"{self._bits}-bit {self._format}" if self._bits else self._format
            told.append(
                f"The stems reach beyond full scale, which {held} cannot hold: both were made "
                f"{-self.gain_db:.2f} dB quieter, so their sum is that much quieter than the recording. "
                "Format wav with 32 bits keeps the level."
            )
        if self.sample_rate != self._sound_rate:
            told.append(
                f"An mp3 cannot have {self._sound_rate:,} samples a second: the stems have {self.sample_rate:,}. "
                "Formats wav and flac keep the recording's rate."
            )
        return told

    def _paths(self) -> list[Path]:
        return [self._folder / name for name in stem_names(self._format)]

    def _encoder(self, path: Path) -> SampleWriter:
        if self._format == "mp3" or self._bits is None:
            return mp3.Mp3Writer(path, self.sample_rate, self._channels)
        if self._format == "flac":
            return flac.FlacWriter(path, self.sample_rate, self._channels, self._bits)
        return WavWriter(path, self.sample_rate, self._channels, self._bits)


class _Spool:
    """Floats on the disk, in a file without a name that ends with the process at the latest."""

    def __init__(self, folder: Path, channels: int) -> None:
        self._folder = folder
        self._channels = channels
        self._file: IO[bytes] | None = None
        self.samples = 0
        self.lowest = 0.0
        self.highest = 0.0

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile(dir=self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def write(self, block: Samples) -> None:
        """Append a block (channels, samples)."""
        if block.shape[1] and self._file is not None:
            self.lowest = min(self.lowest, float(block.min()))
            self.highest = max(self.highest, float(block.max()))
            # (channels, samples) -> (samples, channels): a block of any length can be read back
            self._file.write(np.ascontiguousarray(block.T, np.float32).data)
            self.samples += block.shape[1]

    def blocks(self) -> Iterator[Samples]:
        """Yield all of it, from the beginning, in blocks (channels, samples)."""
        if self._file is None:
            return
        self._file.seek(0)
        while data := self._file.read(_PASS_SAMPLES * self._channels * 4):
            yield np.frombuffer(data, np.float32).reshape(-1, self._channels).T
