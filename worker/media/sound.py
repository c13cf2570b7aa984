"""Sound: an upload's audio as blocks of samples on one timeline, decoded in a child process.

How time stamps, gaps and priming are dealt with: `worker.media.decoding.sound`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.errors import TooLong
from worker.media import messages
from worker.media.blocks import Samples, in_blocks
from worker.media.choice import ShouldStop
from worker.media.limits import MediaLimits
from worker.media.messages import SAMPLE_BYTES, Nonsense
from worker.media.process import DecoderProcess


class SoundReader:
    """What the worker reads an upload's sound through: starts a child that decodes it, and believes nothing it says.

    A context manager; on entering, the first child tells the format. `blocks` may be called again and again, each
    time with a child of its own, and gives the same samples each time. Memory does not grow with the length.

    Attributes
    ----------
    sample_rate : int
        Hz, of the first samples; what comes later in another rate is resampled to it.
    channels : int
        1 to `limits.max_channels`, of the first samples; another number later is mixed up or down.
    """

    sample_rate: int
    channels: int

    def __init__(self, path: Path, limits: MediaLimits, should_stop: ShouldStop | None = None) -> None:
        """Prepare to read `path`. `should_stop` is asked while waiting for the child."""
        self._path = path
        self._limits = limits
        self._should_stop = should_stop
        # Has told the format, and waits to be listened to.
        self._ready: DecoderProcess | None = None

    def __enter__(self) -> Self:
        """Learn the format of the sound.

        Raises
        ------
        NoSound
            If there is no audio stream, or one without a single packet.
        MediaUnreadable
            If nothing of it can be decoded.
        UnsupportedMedia
            If it has too many channels or a sample rate out of range.
        PictureTooLarge, JobGone
            See `worker.media.probe.probe`.
        DecodingLimit, DecoderCrashed, OutOfMemory, Canceled
            See `worker.media.process.DecoderProcess.receive`.
        """
        self._ready, self.sample_rate, self.channels = self._started()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child if nobody listened. Each pass of `blocks` ends its own."""
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.__exit__(kind, error, trace)

    def blocks(self, seconds: float = 1.0) -> Iterator[Samples]:
        """Yield the sound from the origin to its end.

        Yields
        ------
        np.ndarray [shape=(channels, samples), float32]
            Full scale 1.0. Each has round(seconds * sample_rate) samples, the last what is left.
            Values that are not finite (a damaged float file) are given as 0.

        Raises
        ------
        TooLong
            Once more than `limits.max_duration_s` have been decoded.
        MediaUnreadable, UnsupportedMedia, JobGone, DecodingLimit, DecoderCrashed, OutOfMemory, Canceled
            As on entering.
        """
        yield from in_blocks(self._pieces(), max(1, round(seconds * self.sample_rate)))

    def _started(self) -> tuple[DecoderProcess, int, int]:
        """Start a child and hear what format the sound has."""
        decoder = DecoderProcess("sound", [self._path], self._limits, self._should_stop).__enter__()
        try:
            message = decoder.receive({messages.HEADER: messages.MAX_JSON_BYTES})
            try:
                said = messages.as_json(message[1] if message else bytearray())
                rate = _whole(said.get("sample_rate"), self._limits.min_sample_rate, self._limits.max_sample_rate)
                channels = _whole(said.get("channels"), 1, self._limits.max_channels)
            except Nonsense as nonsense:
                raise decoder.refused(str(nonsense)) from None
        except BaseException:
            decoder.__exit__(None, None, None)
            raise
        return decoder, rate, channels

    def _pieces(self) -> Iterator[Samples]:
        """Yield what the child sends: a second each."""
        decoder, self._ready = self._ready, None
        if decoder is None:
            decoder, rate, channels = self._started()
        else:
            rate, channels = self.sample_rate, self.channels
        try:
            if (rate, channels) != (self.sample_rate, self.channels):
                raise decoder.refused("another format than at first")
            left = int(self._limits.max_duration_s * rate)
            most = {messages.SOUND: rate * channels * SAMPLE_BYTES}
            while message := decoder.receive(most):
                try:
                    block = messages.as_sound(message[1], channels)
                except Nonsense as nonsense:
                    raise decoder.refused(str(nonsense)) from None
                left -= block.shape[1]
                if left < 0:
                    raise TooLong
                decoder.earn(self._limits.cpu_per_s * block.shape[1] / rate)
                yield block
        finally:
            decoder.__exit__(None, None, None)


def _whole(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise Nonsense(f"{value!r:.50} is not from {least} to {most}")
    return value
