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

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.media.encoded import EncodedWriter, Encoding

MAX_CHANNELS: Final = 2
# In Hz. MPEG-2.5, MPEG-2 and MPEG-1, three each.
SAMPLE_RATES: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_MPEG_1: Final = 32_000
_WITHOUT_ID3: Final = {"id3v2_version": "0"}  # there is nothing to say
_VARIABLE: Final = {"flags": "+qscale", "global_quality": "0"}
_HEAD_BYTES: Final = 256  # more than the tag needs, wherever it lies in the frame
_ENCODER: Final = b"Lavf"
_MOST_PADDING: Final = 0xFFF


def nearest_rate(sample_rate: int) -> int:
    """Return the rate in Hz that an mp3 gets: the same, or the next higher there is, so that nothing is lost; or
    the highest."""
    return next((rate for rate in SAMPLE_RATES if rate >= sample_rate), SAMPLE_RATES[-1])


class Mp3Writer(EncodedWriter):
    """Writes an mp3.

    What is a little beyond full scale goes in as it is; mp3 has no largest value, but players do.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        """Prepare a file at `path` with `sample_rate` in Hz, one of `SAMPLE_RATES`, and 1 or 2 channels."""
        layout = ("mono", "stereo")[channels - 1]
        super().__init__(
            path, sample_rate, channels, Encoding("mp3", "libmp3lame", "fltp", layout, _WITHOUT_ID3, _VARIABLE)
        )
        self._frame_samples = 1152 if sample_rate >= _MPEG_1 else 576

    def _as_encoded(self, block: NDArray[np.float32]) -> NDArray[np.generic]:
        return block

    def _close(self, *, whole: bool) -> None:
        super()._close(whole=whole)
        if whole and self.samples:
            _write_padding(self.path, self.samples, self._frame_samples)


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
