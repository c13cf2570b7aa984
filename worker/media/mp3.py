"""MP3: lossy, at LAME's highest quality of variable bit rate (V0), and so that players give back the exact length.

V0, because it keeps levels: at constant bit rates below 256 kbit/s, which are all that rates below 32 kHz have, LAME
turns the sound down to 95 % (measured).

An mp3 begins with the encoder's delay and ends in a frame that is filled up. How much of either is to be cut off
stands in the LAME tag of the first frame, which FFmpeg's muxer writes; but at most one frame of padding, where
LAME may leave nearly two. So the field is written once more, from what is known here: frames and samples.

The tag (Hydrogenaudio, "LAME Mp3 Info Tag", revision 1) has, in bytes from its name, "Xing" or "Info": the number of
frames at 8, the encoder's name at 120, delay and padding, 12 bits each, at 141, and at 154 a CRC-16 of the frame
up to there.
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

from worker.media.writer import SampleWriter

MAX_CHANNELS: Final = 2
# In Hz. MPEG-2.5, MPEG-2 and MPEG-1, three each.
SAMPLE_RATES: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_MPEG_1: Final = 32_000
_VARIABLE: Final = {"flags": "+qscale", "global_quality": "0"}
_HEAD_BYTES: Final = 256  # more than the tag needs, wherever it lies in the frame
_ENCODER: Final = b"Lavf"
_MOST_PADDING: Final = 0xFFF


def nearest_rate(sample_rate: int) -> int:
    """Return the rate in Hz that an mp3 gets: the same, or the next higher there is, so that nothing is lost; or
    the highest."""
    return next((rate for rate in SAMPLE_RATES if rate >= sample_rate), SAMPLE_RATES[-1])


class Mp3Writer(SampleWriter):
    """Writes an mp3. The same samples give the same bytes, whatever the blocks they come in.

    What is a little beyond full scale goes in as it is; mp3 has no largest value, but players do.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        """Prepare a file at `path` with `sample_rate` in Hz, one of `SAMPLE_RATES`, and 1 or 2 channels."""
        super().__init__(path, sample_rate, channels)
        self._frame_samples = 1152 if sample_rate >= _MPEG_1 else 576
        self._layout = ("mono", "stereo")[channels - 1]
        self._tick = Fraction(1, sample_rate)
        self._container: OutputContainer | None = None
        self._stream: AudioStream | None = None

    def _open(self) -> None:
        # Without "bitexact" the header names the version of FFmpeg. No ID3 tag: there is nothing to say.
        options = {"fflags": "+bitexact", "id3v2_version": "0"}
        self._container = av.open(str(self.path), "w", format="mp3", options=options)
        self._stream = self._container.add_stream(
            "libmp3lame", rate=self.sample_rate, layout=self._layout, options=_VARIABLE
        )
        self._stream.codec_context.format = "fltp"
        self._stream.codec_context.time_base = self._tick
        self._container.start_encoding()

    def _put(self, block: NDArray[np.float32]) -> None:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", self._layout)
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
        if whole and self.samples:
            _write_padding(self.path, self.samples, self._frame_samples)

    def _encode(self, frame: AudioFrame | None) -> None:
        if self._container is not None and self._stream is not None:
            self._container.mux(self._stream.encode(frame))


def _write_padding(path: Path, samples: int, frame_samples: int) -> None:
    """Put into the LAME tag how many samples at the end are to be cut off, so that `samples` are left."""
    with path.open("r+b") as file:
        head = bytearray(file.read(_HEAD_BYTES))
        tag = head.index(_ENCODER) - 120
        frames = int.from_bytes(head[tag + 8 : tag + 12], "big")
        place = tag + 141
        delay = int.from_bytes(head[place : place + 3], "big") >> 12
        padding = frames * frame_samples - delay - samples
        if not 0 <= padding <= _MOST_PADDING:
            raise RuntimeError(f"{frames} frames and a delay of {delay} do not hold {samples} samples of mp3")
        head[place : place + 3] = (delay << 12 | padding).to_bytes(3, "big")
        file.seek(0)
        file.write(head[: tag + 154] + _crc16(head[: tag + 154]).to_bytes(2, "big"))


def _crc16(data: bytes | bytearray) -> int:
    """Return the CRC of the tag: polynomial x^16 + x^15 + x^2 + 1, bits reversed, from 0."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value
