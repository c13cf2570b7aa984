"""WAV: 32-bit floats, in which nothing clips, or integers of 16 or 24 bits."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from app.stem_formats import Bits
from worker.media.quantisation import quantised
from worker.media.writer import SampleWriter

# Beyond this the size fields of a RIFF header, 32 bits each, run over and the file stays RF64.
RIFF_MAX_BYTES = (1 << 32) - 1

_HELD_BACK_BYTES = 1 << 20  # more than libsndfile buffers
_SUBTYPES: dict[Bits, str] = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}


class WavWriter(SampleWriter):
    """Writes a WAV file. Floats keep what is beyond full scale; integers refuse it with `ValueError`.

    The file is written as RF64, whose header has room for sizes of 64 bits; a file that turns out to fit
    in 4 GiB gets the header of a plain WAV on close (EBU Tech 3306, section "achieving compatibility").
    The same samples give the same bytes: libsndfile's plain WAV would hold the time of writing in its PEAK
    chunk.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, bits: Bits = 32) -> None:
        """Prepare a file at `path` with `sample_rate` in Hz and 16, 24 or 32 (float) `bits` a sample."""
        super().__init__(path, sample_rate, channels)
        self.bits = bits
        self._file: soundfile.SoundFile | None = None

    def _open(self) -> None:
        self._file = soundfile.SoundFile(
            str(self.path), "w", self.sample_rate, self.channels, subtype=_SUBTYPES[self.bits], format="RF64"
        )

    def _put(self, block: NDArray[np.float32]) -> None:
        samples: NDArray[np.float32] | NDArray[np.int32] = block
        if self.bits != 32:
            # libsndfile keeps the upper bits of 32.
            samples = quantised(block, self.bits) << (32 - self.bits)
        if self._file is not None:
            with _named_errors(self.path.parent, block.nbytes):
                # (channels, samples) -> (samples, channels), the order in the file
                self._file.write(np.ascontiguousarray(samples.T))

    def _close(self, *, whole: bool) -> None:
        file, self._file = self._file, None
        if file is not None:
            with _named_errors(self.path.parent, _HELD_BACK_BYTES):
                file.close()
        if whole:
            _as_plain_wav_if_it_fits(self.path)


@contextmanager
def _named_errors(folder: Path, size: int) -> Iterator[None]:
    """Raise `OSError` where libsndfile failed to write `size` bytes and says but "System error"."""
    try:
        yield
    except soundfile.LibsndfileError:
        # The system tells why, asked once more: no space, most likely.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(size))
        raise


def _as_plain_wav_if_it_fits(path: Path) -> None:
    """Turn RF64 into RIFF: the ds64 chunk becomes JUNK, which every reader skips."""
    riff_bytes = path.stat().st_size - 8
    if riff_bytes > RIFF_MAX_BYTES:
        return
    with path.open("r+b") as file:
        header = file.read(4096)
        data = header.index(b"data")
        (data_bytes,) = struct.unpack_from("<Q", header, header.index(b"ds64") + 16)
        file.seek(0)
        file.write(struct.pack("<4sI", b"RIFF", riff_bytes))
        file.seek(header.index(b"ds64"))
        file.write(b"JUNK")
        file.seek(data + 4)
        file.write(struct.pack("<I", data_bytes))
