"""Kept: an upload's sound for those who read it one after the other, decoded once.

A job listens to the beginning before it separates the whole. What was decoded is kept, up to a size; a recording that
is larger is decoded again from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from worker.media.blocks import Samples
from worker.media.choice import ShouldStop
from worker.media.limits import MIB, MediaLimits
from worker.media.sound import SoundReader

MOST_BYTES: Final = 64 * MIB  # 120 s, which is what is listened to, of stereo at up to 69,000 samples a second


class KeptSound:
    """Reads as :class:`worker.media.sound.SoundReader` does, whose errors it raises, one reader at a time.

    Attributes
    ----------
    sample_rate : int
        Hz.
    channels : int
    """

    sample_rate: int
    channels: int

    def __init__(self, path: Path, limits: MediaLimits, should_stop: ShouldStop | None = None) -> None:
        """Prepare to read `path`. `should_stop` is asked while waiting."""
        self._reader = SoundReader(path, limits, should_stop)
        self._coming: Iterator[Samples] | None = None
        self._kept: list[Samples] = []
        self._free_bytes = MOST_BYTES

    def __enter__(self) -> Self:
        """Learn the format of the sound."""
        self._reader.__enter__()
        self.sample_rate, self.channels = self._reader.sample_rate, self._reader.channels
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A pass that nobody read to its end ends its child when it is let go.
        self._kept, self._coming = [], None
        self._reader.__exit__(kind, error, trace)

    def blocks(self) -> Iterator[Samples]:
        """Yield the sound from its beginning, as `SoundReader.blocks` does. Whoever read before must not go on."""
        yield from self._kept
        kept, coming = self._kept, self._coming or self._reader.blocks()
        # What is left here in case of an error: whoever comes then begins anew.
        self._kept, self._coming = [], None
        for block in coming:
            self._free_bytes -= block.nbytes
            if self._free_bytes < 0:
                kept.clear()
                yield block
                continue
            kept.append(block)
            self._kept, self._coming = kept, coming
            yield block
            self._kept, self._coming = [], None
        if self._free_bytes >= 0:
            self._kept, self._coming = kept, coming
