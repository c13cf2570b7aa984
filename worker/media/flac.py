"""FLAC (RFC 9639): integers of 16 or 24 bits, lossless, in half the space.

Written by FFmpeg: libsndfile's encoder keeps to the streamable subset and refuses rates like 96,001 Hz.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from numpy.typing import NDArray

from app.stem_formats import Bits
from worker.media.quantisation import quantised
from worker.media.writer import SampleWriter

MAX_CHANNELS: Final = 8
MAX_SAMPLE_RATE: Final = 655_350
# As libFLAC has it. FFmpeg's grows with the rate, until its own reader gives up: 8 channels, 24 bits, 192 kHz.
BLOCK_SAMPLES: Final = 4096
# The order of channels that a number of them stands for (RFC 9639, section 9.1.3).
_LAYOUTS: Final = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")


class FlacWriter(SampleWriter):
    """Writes a FLAC file; a sample beyond full scale is refused with `ValueError`. The same samples give the same
    bytes, whatever the blocks they come in."""

    def __init__(self, path: Path, sample_rate: int, channels: int, bits: Bits = 24) -> None:
        """Prepare a file at `path` with `sample_rate` in Hz and 16 or 24 `bits` a sample."""
        super().__init__(path, sample_rate, channels)
        self.bits = bits
        self._layout = _LAYOUTS[channels - 1]
        self._kind = "s16" if bits == 16 else "s32"
        self._tick = Fraction(1, sample_rate)
        self._container: OutputContainer | None = None
        self._stream: AudioStream | None = None

    def _open(self) -> None:
        # Without "bitexact" the header names the version of FFmpeg.
        self._container = av.open(str(self.path), "w", format="flac", options={"fflags": "+bitexact"})
        self._stream = self._container.add_stream(
            "flac", rate=self.sample_rate, layout=self._layout, options={"frame_size": str(BLOCK_SAMPLES)}
        )
        self._stream.codec_context.format = self._kind
        self._stream.codec_context.time_base = self._tick
        self._container.start_encoding()

    def _put(self, block: NDArray[np.float32]) -> None:
        # FFmpeg keeps the upper 24 bits of 32.
        steps = quantised(block, self.bits)
        samples = steps.astype(np.int16) if self.bits == 16 else steps << 8
        # (channels, samples) -> (1, samples * channels), interleaved
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples.T).reshape(1, -1), self._kind, self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self.sample_rate, self.samples, self._tick
        self._encode(frame)

    def _close(self, *, whole: bool) -> None:
        try:
            if whole:
                self._encode(None)
        finally:
            if self._container is not None:
                self._container.close()
            self._container = self._stream = None

    def _encode(self, frame: AudioFrame | None) -> None:
        if self._container is not None and self._stream is not None:
            self._container.mux(self._stream.encode(frame))
