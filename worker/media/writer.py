"""What all files of samples have in common while they are written: block by block, whole or not there."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray


class SampleWriter(ABC):
    """Writes one file of samples. A context manager: on a clean exit the file is whole and on the disk; when
    the body raised, there is no file. The length need not be known before.

    Attributes
    ----------
    samples : int
        Written so far, of each channel.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        """Prepare a file at `path` with `sample_rate` in Hz. Nothing is created before the body is entered."""
        self.path = path
        self.sample_rate = sample_rate
        self.channels = channels
        self.samples = 0
        self._entered = False

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._drop()
            raise
        self._entered = True
        return self

    def write(self, block: NDArray[np.float32]) -> None:
        """Append a block.

        Parameters
        ----------
        block : np.ndarray [shape=(channels, samples), float32]
            Full scale is 1.0.

        Raises
        ------
        ValueError
            If the shape or the type is another, or the format cannot hold a value.
        RuntimeError
            Outside the ``with`` block.
        """
        if not self._entered:
            raise RuntimeError(f"a {type(self).__name__} is written to inside its with block")
        if block.ndim != 2 or block.shape[0] != self.channels or block.dtype != np.float32:
            raise ValueError(
                f"wanted float32 of shape ({self.channels}, samples), got {block.dtype} of shape {block.shape}"
            )
        if block.shape[1]:
            self._put(block)
        self.samples += block.shape[1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        try:
            self._close(whole=kind is None)
            if kind is None:
                _sync(self.path)
        except BaseException:
            self._drop()
            raise
        if kind is not None:
            self._drop()

    @abstractmethod
    def _open(self) -> None:
        """Create the file."""

    @abstractmethod
    def _put(self, block: NDArray[np.float32]) -> None:
        """Append a block that has samples, in the right shape."""

    @abstractmethod
    def _close(self, *, whole: bool) -> None:
        """Write what is held back and what only the end tells, if the file is to be `whole`; close it."""

    def _drop(self) -> None:
        self.path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
