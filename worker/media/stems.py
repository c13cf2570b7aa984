"""Stems: a player's sound, written block by block as 32-bit float WAV, so that nothing clips."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

# Beyond this the size fields of a RIFF header, 32 bits each, run over and the file stays RF64.
RIFF_MAX_BYTES = (1 << 32) - 1


class StemWriter:
    """Writes one stem. A context manager: on a clean exit the file is whole and on the disk; when
    the body raised, there is no file.

    The length need not be known before. The file is written as RF64, whose header has room for
    sizes of 64 bits; a file that turns out to fit in 4 GiB gets the header of a plain WAV on close
    (EBU Tech 3306, section "achieving compatibility"). The same samples give the same bytes:
    libsndfile's plain WAV would hold the time of writing in its PEAK chunk.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        """Prepare a stem at `path` with `sample_rate` in Hz. Nothing is created before the body is entered."""
        self.path = path
        self.sample_rate = sample_rate
        self.channels = channels
        self.samples = 0
        self._file: soundfile.SoundFile | None = None

    def __enter__(self) -> Self:
        try:
            self._file = soundfile.SoundFile(
                str(self.path), "w", self.sample_rate, self.channels, subtype="FLOAT", format="RF64"
            )
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise
        return self

    def write(self, block: NDArray[np.float32]) -> None:
        """Append a block.

        Parameters
        ----------
        block : np.ndarray [shape=(channels, samples), float32]
            Full scale is 1.0; what is beyond it is kept.

        Raises
        ------
        ValueError
            If the shape or the type is another.
        RuntimeError
            Outside the ``with`` block.
        """
        if self._file is None:
            raise RuntimeError("a StemWriter is written to inside its with block")
        if block.ndim != 2 or block.shape[0] != self.channels or block.dtype != np.float32:
            raise ValueError(
                f"wanted float32 of shape ({self.channels}, samples), got {block.dtype} of shape {block.shape}"
            )
        # (channels, samples) -> (samples, channels), the order in the file
        self._file.write(np.ascontiguousarray(block.T))
        self.samples += block.shape[1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
            if kind is None:
                _as_plain_wav_if_it_fits(self.path)
                _sync(self.path)
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise
        if kind is not None:
            self.path.unlink(missing_ok=True)


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


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
