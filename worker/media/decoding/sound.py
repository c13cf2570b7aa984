"""Sound: an upload's audio as blocks of samples on one timeline, whatever the container does to it.

Time is taken from time stamps, not from sample counts, so that stems line up with the picture:
a late start and gaps become silence, overlaps and what lies before the origin are dropped. Within
`GAP_TOLERANCE_S` the count goes on, since the time stamps of many containers are coarse (1 ms in
Matroska and WebM).

AAC's 1,024 samples of priming (measured, PyAV 18.1 with FFmpeg 8.1, `tests/unit/test_media_sound.py`):
an edit list (mp4, mov) or codec delay (mkv) names them, FFmpeg drops them, and the sound is in place to
the sample. Where the muxer wrote neither (mp4 without edit list, fragmented mp4, ADTS), nothing in
the file tells priming from music, and they stay: the sound is where every player would play it.
In an MPEG-TS or a video mp4 without edit list the time stamps still put the first true sample beside
the first picture. Padding at the end of the last AAC packet stays too, as in FFmpeg.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from worker.errors import MediaUnreadable, NoSound, UnsupportedMedia
from worker.media.blocks import Samples, in_blocks
from worker.media.decoding.container import opened, origin, packets, sound_stream
from worker.media.decoding.probe import too_long
from worker.media.limits import MediaLimits

# A lost packet of Opus is 20 ms, of AAC at 48 kHz 21 ms; jitter of time stamps is 1 to 5 ms.
GAP_TOLERANCE_S = Fraction(1, 100)
# A step back by more is a time stamp that begins anew (joined recordings), not an overlap.
MAX_OVERLAP_S = 1
# Full scale of FFmpeg's integer formats; u8 is offset by 128 besides.
FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}


class SoundDecoder:
    """What runs within the child: decodes the sound of one file with FFmpeg and lays it onto one timeline.

    A context manager; entering decodes up to the first samples to learn the format. `blocks` may be called again and
    again, opens the file anew, and gives the same samples each time. Memory does not grow with the length.

    Attributes
    ----------
    sample_rate : int
        Hz, of the first samples; what comes later in another rate is resampled to it.
    channels : int
        1 to `limits.max_channels`, of the first samples; another number later is mixed up or down.
    """

    sample_rate: int
    channels: int

    def __init__(self, path: Path, limits: MediaLimits) -> None:
        self._path = path
        self._limits = limits
        self._layout = ""

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
        PictureTooLarge, OutOfMemory, JobGone
            See `worker.media.decoding.container.opened`.
        """
        with opened(self._path, self._limits) as container:
            first = next(_Decoder(_sound_of(container), container).frames())
        self.sample_rate = first.sample_rate
        self.channels = first.layout.nb_channels
        self._layout = first.layout.name
        _check_format(self.sample_rate, self.channels, self._limits)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to do: each pass of `blocks` closes its own file."""

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
        MediaUnreadable, UnsupportedMedia, OutOfMemory, JobGone
            As on entering.
        """
        yield from in_blocks(self._pieces(), max(1, round(seconds * self.sample_rate)))

    def _pieces(self) -> Iterator[Samples]:
        """Yield the sound in pieces of at most about a second, without gap or overlap."""
        with opened(self._path, self._limits) as container:
            stream = _sound_of(container)
            decoder = _Decoder(stream, container)
            timeline = _Timeline(self.sample_rate, self.channels, self._limits)
            clock = _Clock(stream, origin(container), self.sample_rate)
            run: _Run | None = None
            for frame in decoder.frames():
                due = clock.due(frame.pts)
                if run is None or not (run.takes(frame) and clock.in_time(due, run.end)):
                    if run is not None:
                        yield from timeline.put(run.finish(), run.given_to)
                    start = clock.begin(due) if run is None else clock.resume(due, run.end)
                    run = _Run(frame, start, self.sample_rate, self.channels, self._layout)
                at = run.given_to
                yield from timeline.put(run.push(frame), at)
            if run is not None:
                at = run.given_to
                yield from timeline.put(run.finish(), at)
            if decoder.lost_until is not None:
                # What could not be decoded at the end is silence too.
                yield from timeline.fill(clock.due(decoder.lost_until) or 0)


class _Decoder:
    """Decodes one stream and goes on after packets that are damaged."""

    def __init__(self, stream: AudioStream, container: InputContainer) -> None:
        self._stream = stream
        self._container = container
        # End, in ticks of the stream, of the last damaged packet after which nothing was decoded.
        self.lost_until: int | None = None

    def frames(self) -> Iterator[AudioFrame]:
        """Yield what can be decoded, at least one frame, else raise NoSound or MediaUnreadable."""
        seen = decoded = False
        for packet in packets(self._container, self._stream):
            seen = seen or packet.size > 0
            try:
                frames = packet.decode()
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:
                # Damage shows as invalid data, as features that do not exist, or as anything else.
                if packet.pts is not None:
                    self.lost_until = packet.pts + (packet.duration or 0)
                continue
            for frame in frames:
                if frame.samples:
                    decoded, self.lost_until = True, None
                    yield frame
        if not seen:
            raise NoSound("The audio track is empty. Wanted is a recording of two players. Upload one with sound.")
        if not decoded:
            raise MediaUnreadable(
                "The sound cannot be decoded: the file is damaged. Check that it plays and upload it again."
            )


class _Clock:
    """Turns time stamps into places on the timeline, counted in samples from the origin."""

    def __init__(self, stream: AudioStream, start: Fraction, sample_rate: int) -> None:
        tick = stream.time_base if stream.time_base is not None else Fraction(1, sample_rate)
        self._samples_a_tick = tick * sample_rate
        self._origin = start * sample_rate
        self._shift = 0
        self._rate = sample_rate
        self._tolerance = max(GAP_TOLERANCE_S * sample_rate, self._samples_a_tick / 2)

    def due(self, pts: int | None) -> int | None:
        """Place of a time stamp, or None where the container gives none."""
        return None if pts is None else round(pts * self._samples_a_tick - self._origin) + self._shift

    def in_time(self, due: int | None, end: int) -> bool:
        """Whether a frame that is due there may simply follow what ends at `end`."""
        return due is None or abs(due - end) <= self._tolerance

    def begin(self, due: int | None) -> int:
        """Place of the first frame: exact, but for the rounding of coarse ticks."""
        rounding = 2 * self._samples_a_tick if self._samples_a_tick > 1 else Fraction(0)
        return 0 if due is None or abs(due) <= min(rounding, self._tolerance) else due

    def resume(self, due: int | None, end: int) -> int:
        """Place of a frame after a change of format, a gap, an overlap or a new beginning of time."""
        if due is None or self.in_time(due, end):
            return end
        if due < end - MAX_OVERLAP_S * self._rate:
            self._shift += end - due
            return end
        return due


class _Run:
    """Frames that follow each other without a gap, in one format. `end` is where the next is due."""

    def __init__(self, first: AudioFrame, start: int, sample_rate: int, channels: int, layout: str) -> None:
        self._start = start
        self._format = _format_of(first)
        self._ratio = Fraction(sample_rate, first.sample_rate)
        self._channels = channels
        self._taken = 0
        self._given = 0
        self._resampler: AudioResampler | None = None
        same = first.sample_rate == sample_rate and first.layout.nb_channels == channels
        if not same or first.format.packed.name not in FULL_SCALE:
            self._resampler = AudioResampler("fltp", layout, sample_rate)

    @property
    def end(self) -> int:
        return self._start + round(self._taken * self._ratio)

    @property
    def given_to(self) -> int:
        """Place of the next sample that `push` or `finish` will return."""
        return self._start + self._given

    def takes(self, frame: AudioFrame) -> bool:
        return _format_of(frame) == self._format

    def push(self, frame: AudioFrame) -> Samples:
        self._taken += frame.samples
        if self._resampler is None:
            return self._counted(_as_float(frame))
        frame.pts = None  # the resampler must not fill gaps of its own
        return self._counted(self._resampled(frame))

    def finish(self) -> Samples:
        """Return what the resampler still holds, padded or cut to the length that is due."""
        if self._resampler is None:
            return np.zeros((self._channels, 0), np.float32)
        missing = self.end - self.given_to
        tail = self._resampled(None)[:, : max(0, missing)]
        return self._counted(np.pad(tail, ((0, 0), (0, max(0, missing) - tail.shape[1]))))

    def _counted(self, samples: Samples) -> Samples:
        self._given += samples.shape[1]
        return samples

    def _resampled(self, frame: AudioFrame | None) -> Samples:
        assert self._resampler is not None  # noqa: S101 - for the type checker; both callers look
        try:
            frames = self._resampler.resample(frame)
        except (av.error.FFmpegError, ValueError):
            raise UnsupportedMedia(
                "The sound changes its channels midway in a way that cannot be converted. "
                "Convert it to stereo throughout and upload it again."
            ) from None
        return np.concatenate([np.zeros((self._channels, 0), np.float32), *map(_as_float, frames)], axis=1)


class _Timeline:
    """Puts samples where they belong: fills gaps with silence and drops what is already covered."""

    def __init__(self, sample_rate: int, channels: int, limits: MediaLimits) -> None:
        self._rate = sample_rate
        self._channels = channels
        self._limits = limits
        self._most = int(limits.max_duration_s * sample_rate)
        self._end = 0

    def put(self, samples: Samples, at: int) -> Iterator[Samples]:
        """Yield `samples`, whose first belongs at `at`, and the silence before them."""
        if not samples.shape[1]:
            return
        yield from self.fill(at)
        fresh = samples[:, max(0, self._end - at) :]
        if fresh.shape[1]:
            yield self._advanced(fresh)

    def fill(self, until: int) -> Iterator[Samples]:
        """Yield silence up to `until`."""
        if until > self._most:
            raise too_long(self._limits)
        while self._end < until:
            yield self._advanced(np.zeros((self._channels, min(self._rate, until - self._end)), np.float32))

    def _advanced(self, samples: Samples) -> Samples:
        self._end += samples.shape[1]
        if self._end > self._most:
            raise too_long(self._limits)
        return samples


def _sound_of(container: InputContainer) -> AudioStream:
    stream = sound_stream(container)
    if stream is None:
        raise NoSound
    return stream


def _check_format(sample_rate: int, channels: int, limits: MediaLimits) -> None:
    if not 1 <= channels <= limits.max_channels:
        raise UnsupportedMedia(
            f"The sound has {channels} channels; 1 to {limits.max_channels} are supported. "
            "Mix it down to stereo and upload it again."
        )
    if not limits.min_sample_rate <= sample_rate <= limits.max_sample_rate:
        raise UnsupportedMedia(
            f"The sound has {sample_rate} samples a second; {limits.min_sample_rate} to {limits.max_sample_rate} "
            "are supported. Resample it to 44,100 and upload it again."
        )


def _format_of(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _as_float(frame: AudioFrame) -> Samples:
    """Return a frame's samples, (channels, samples) float32. Integers up to 24 bits convert exactly."""
    kind = frame.format.packed.name
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        # (1, samples * channels) -> (samples, channels) -> (channels, samples)
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    samples = np.ascontiguousarray(raw, dtype=np.float32)
    if kind in ("flt", "dbl"):
        return samples if np.isfinite(samples).all() else np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    if kind == "u8":
        samples = samples - np.float32(128.0)
    return samples / np.float32(FULL_SCALE[kind])
