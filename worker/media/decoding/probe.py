"""Probe: what an upload claims to be, read from its header without decoding all of it."""

from __future__ import annotations

from pathlib import Path

from av.container import InputContainer
from av.stream import Stream

from worker.errors import TooLong
from worker.media.decoding.container import opened, origin, picture_stream, sound_stream
from worker.media.info import MediaInfo
from worker.media.limits import MediaLimits

MICROSECONDS = 1_000_000


def probe(path: Path, limits: MediaLimits) -> MediaInfo:
    """Read the header of the media file at `path`.

    Raises
    ------
    MediaUnreadable, UnsupportedMedia, PictureTooLarge, OutOfMemory, JobGone
        See `worker.media.decoding.container.opened`.
    TooLong
        If the header claims more than `limits.max_duration_s`.
    """
    with opened(path, limits) as container:
        audio, video = sound_stream(container), picture_stream(container)
        duration_s = _duration_s(container)
        if duration_s is not None and duration_s > limits.max_duration_s:
            raise too_long(limits, duration_s)
        return MediaInfo(
            format=container.format.name,
            duration_s=duration_s,
            has_audio=audio is not None,
            has_video=video is not None,
            sample_rate=audio.codec_context.sample_rate if audio else None,
            channels=audio.codec_context.channels if audio else None,
            width=video.codec_context.width if video else None,
            height=video.codec_context.height if video else None,
            fps=float(video.average_rate) if video and video.average_rate else None,
        )


def too_long(limits: MediaLimits, duration_s: float | None = None) -> TooLong:
    """Return the error for a recording beyond `limits.max_duration_s`, with the numbers in it."""
    lasts = f"lasts {duration_s:.0f} s" if duration_s is not None else "goes on"
    return TooLong(
        f"The recording {lasts}, longer than the {limits.max_duration_s:g} s that are allowed. "
        "Cut it into shorter parts and upload each."
    )


def _duration_s(container: InputContainer) -> float | None:
    """Seconds from the origin to the latest end that a used stream or, failing that, the container claims."""
    start = origin(container)
    ends = [end for stream in (sound_stream(container), picture_stream(container)) if (end := _end(stream))]
    if ends:
        return max(0.0, max(ends) - float(start))
    if container.duration is not None and container.duration > 0:
        return container.duration / MICROSECONDS
    return None


def _end(stream: Stream | None) -> float | None:
    if stream is None or stream.duration is None or stream.time_base is None or stream.duration <= 0:
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
