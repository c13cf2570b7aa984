"""Files of samples that FFmpeg encodes: what flac and mp3 have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from numpy.typing import NDArray

from worker.media.writer import SampleWriter

# Without "bitexact" the header names the version of FFmpeg.
_NAMELESS: Final = {"fflags": "+bitexact"}


@dataclass(frozen=True)
class Encoding:
    """What FFmpeg is asked for: its names of container, codec, kind of sample and layout, and options of either."""

    container: str
    codec: Literal["flac", "libmp3lame"]
    sample_kind: str
    layout: str
    container_options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)


class EncodedWriter(SampleWriter):
    """Writes a file by FFmpeg. The same samples give the same bytes, whatever the blocks they come in."""

    def __init__(self, path: Path, sample_rate: int, channels: int, encoding: Encoding) -> None:
        """Prepare a file at `path` with `sample_rate` in Hz."""
        super().__init__(path, sample_rate, channels)
        self._encoding = encoding
        self._tick = Fraction(1, sample_rate)
        self._container: OutputContainer | None = None
        self._stream: AudioStream | None = None

    @abstractmethod
    def _as_encoded(self, block: NDArray[np.float32]) -> NDArray[np.generic]:
        """Return a block (channels, samples) in the kind and order of samples that the encoder takes."""

    def _open(self) -> None:
        wanted = self._encoding
        options = {**_NAMELESS, **wanted.container_options}
        self._container = av.open(str(self.path), "w", format=wanted.container, options=options)
        self._stream = self._container.add_stream(
            wanted.codec, rate=self.sample_rate, layout=wanted.layout, options=dict(wanted.codec_options)
        )
        self._stream.codec_context.format = wanted.sample_kind
        self._stream.codec_context.time_base = self._tick
        self._container.start_encoding()

    def _put(self, block: NDArray[np.float32]) -> None:
        samples = np.ascontiguousarray(self._as_encoded(block))
        frame = AudioFrame.from_ndarray(samples, self._encoding.sample_kind, self._encoding.layout)
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
