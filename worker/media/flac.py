"""FLAC (RFC 9639): integers of 16 or 24 bits, lossless, in half the space.

Written by FFmpeg: libsndfile's encoder keeps to the streamable subset and refuses rates like 96,001 Hz.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.stem_formats import Bits
from worker.media.encoded import EncodedWriter, Encoding
from worker.media.quantisation import quantised

MAX_CHANNELS: Final = 8
MAX_SAMPLE_RATE: Final = 655_350
# As libFLAC has it. FFmpeg's grows with the rate, until its own reader gives up: 8 channels, 24 bits, 192 kHz.
BLOCK_SAMPLES: Final = 4096
# The order of channels that a number of them stands for (RFC 9639, section 9.1.3).
_LAYOUTS: Final = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")


class FlacWriter(EncodedWriter):
    """Writes a FLAC file; a sample beyond full scale is refused with `ValueError`."""

    def __init__(self, path: Path, sample_rate: int, channels: int, bits: Bits = 24) -> None:
        """Prepare a file at `path` with `sample_rate` in Hz and 16 or 24 `bits` a sample."""
        kind = "s16" if bits == 16 else "s32"
        options = {"frame_size": str(BLOCK_SAMPLES)}
        super().__init__(
            path, sample_rate, channels, Encoding("flac", "flac", kind, _LAYOUTS[channels - 1], codec_options=options)
        )
        self.bits = bits

    def _as_encoded(self, block: NDArray[np.float32]) -> NDArray[np.generic]:
        # FFmpeg keeps the upper 24 bits of 32.
        steps = quantised(block, self.bits)
        samples = steps.astype(np.int16) if self.bits == 16 else steps << 8
        # (channels, samples) -> (1, samples * channels), interleaved
        return samples.T.reshape(1, -1)
