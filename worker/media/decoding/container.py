"""The one place that opens media with PyAV, hardened against hostile files.

- `format_whitelist`: text that begins with ``ffconcat version 1.0`` and is named ``.mp4`` would open
  other files of this machine.
- `protocol_whitelist`: nothing reaches for the network.
- `max_pixels`, at open and again on each decoder: opening alone decodes a frame of each stream to
  learn its format, and a few KB of PNG hold 144 million pixels.
- Errors of FFmpeg, whose texts name the file, become ours, which do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, cast

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from worker.errors import JobFailure, JobGone, MediaUnreadable, OutOfMemory, PictureTooLarge, UnsupportedMedia
from worker.media.limits import FORMAT_WHITELIST, PROTOCOL_WHITELIST, MediaLimits

# A stream that starts before zero by less than this is an encoder's priming, not sound or picture.
MAX_PRIMING_S = Fraction(1, 5)

S = TypeVar("S", bound=Stream)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what PyAV raises inside the block into the worker's errors.

    Raises
    ------
    MediaUnreadable, UnsupportedMedia, OutOfMemory, JobGone
    """
    try:
        yield
    except JobFailure:
        raise
    except av.error.FileNotFoundError:
        raise JobGone from None
    except MemoryError:
        raise OutOfMemory from None
    except (av.error.LookupError, av.error.PatchWelcomeError, av.error.NotImplementedError):
        raise UnsupportedMedia from None
    except av.error.FFmpegError:
        raise MediaUnreadable from None


@contextmanager
def opened(path: Path, limits: MediaLimits) -> Iterator[InputContainer]:
    """Open the media file at `path` for reading, and close it.

    What FFmpeg raises inside the block is translated too (`translated_errors`).

    Raises
    ------
    MediaUnreadable
        If it is empty, damaged or of no allowed format.
    UnsupportedMedia
        If it holds more than `limits.max_streams` streams or needs a decoder that is not there.
    PictureTooLarge
        If its picture has more than `limits.max_pixels` pixels.
    JobGone
        If there is no such file any more.
    OutOfMemory
        If FFmpeg could not allocate.
    """
    with translated_errors():
        container = _open(path, limits)
        try:
            _check_streams(container, limits)
            yield container
        finally:
            container.close()


def sound_stream(container: InputContainer) -> AudioStream | None:
    """Return the audio stream to decode, or None. Of several, the one that FFmpeg deems best.

    Raises
    ------
    UnsupportedMedia
        If there is sound, but no decoder for it.
    """
    stream = _usable(container.streams.audio, container.streams.best("audio"))
    if stream is None and container.streams.audio:
        raise UnsupportedMedia
    return stream


def picture_stream(container: InputContainer) -> VideoStream | None:
    """Return the video stream to decode, or None. Cover art (an attached picture) is no video."""
    videos = [stream for stream in container.streams.video if not _is_cover(stream)]
    return _usable(tuple(videos), container.streams.best("video"))


def origin(container: InputContainer) -> Fraction:
    """Return the time stamp, in seconds, that counts as the beginning of both sound and picture.

    It is the earlier start of the two streams that are used. Cover art has a start of its own, so
    the container's start time is not asked. Priming before zero does not count as a start.
    """
    starts = [
        stream.start_time * stream.time_base
        for stream in (sound_stream(container), picture_stream(container))
        if stream is not None and stream.start_time is not None and stream.time_base is not None
    ]
    earliest = min(starts, default=Fraction(0))
    return Fraction(0) if -MAX_PRIMING_S < earliest < 0 else earliest


def packets(container: InputContainer, stream: S) -> Iterator[Packet[S]]:
    """Yield the packets of one stream and, last, an empty one that makes the decoder give what it holds.

    Where the file is cut off or its end is damaged, what came before counts.
    """
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed, None)
        except av.error.MemoryError:
            raise
        except (av.error.FFmpegError, IndexError):
            # IndexError: PyAV 18.1 at the end of damaged files in which streams appear midway.
            break
        if packet is None:
            return
        yield cast("Packet[S]", packet)
    flush: Packet[S] = cast("Packet[S]", Packet())
    flush.stream = stream
    yield flush


def _open(path: Path, limits: MediaLimits) -> InputContainer:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise JobGone from None
    if size == 0:
        raise MediaUnreadable("The file is empty. Wanted is a recording. Check the file and upload it again.")
    max_pixels = {"max_pixels": str(limits.max_pixels)}
    try:
        container = _opened_with(path, [max_pixels] * limits.max_streams)
    except av.error.FFmpegError:
        raise
    except ValueError:
        # MPEG-TS and FLV know no streams before they are probed, and PyAV then refuses stream_options.
        try:
            container = _opened_with(path, [])
        except av.error.FFmpegError:
            raise
        except ValueError:
            raise MediaUnreadable from None
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = max_pixels
    return container


def _opened_with(path: Path, stream_options: Any) -> InputContainer:
    # `Any`: PyAV's stub asks for list[str] where its code takes a list of dicts.
    return av.open(
        # The scheme keeps a name such as "concat:a|b" from being taken for one.
        f"file:{path.absolute()}",
        "r",
        options={"format_whitelist": FORMAT_WHITELIST, "protocol_whitelist": PROTOCOL_WHITELIST},
        stream_options=stream_options,
        # A tag in another encoding must not make a good file unreadable.
        metadata_errors="replace",
    )


def _check_streams(container: InputContainer, limits: MediaLimits) -> None:
    if len(container.streams) > limits.max_streams:
        raise UnsupportedMedia(
            f"The file holds {len(container.streams)} streams; at most {limits.max_streams} are allowed. "
            "Keep one video and one audio track and upload it again."
        )
    video = picture_stream(container)
    if video is None:
        return
    width, height = video.codec_context.width, video.codec_context.height
    check_size(width, height, limits)
    # The header of these formats gives a size; FFmpeg sets it to 0 where max_pixels made it refuse.
    if width * height == 0 and container.stream_options:
        raise PictureTooLarge(
            f"The picture of the video has no size, or one of more than the {limits.max_pixels:,} pixels that are "
            "allowed. Scale it down and upload it again."
        )


def check_size(width: int, height: int, limits: MediaLimits) -> None:
    """Refuse a picture of more than `limits.max_pixels` pixels.

    Raises
    ------
    PictureTooLarge
    """
    if width * height > limits.max_pixels:
        raise PictureTooLarge(
            f"The picture has {width} × {height} pixels; at most {limits.max_pixels:,} in all are allowed. "
            "Scale it down and upload it again."
        )


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _usable(candidates: tuple[S, ...], best: Stream | None) -> S | None:
    """Of the streams for which there is a decoder, `best` if it is among them, else the first."""
    usable = [stream for stream in candidates if stream.codec_context is not None]
    return next((stream for stream in usable if best is not None and stream.index == best.index), None) or next(
        iter(usable), None
    )
