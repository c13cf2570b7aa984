"""Frames: the pictures of an upload, from a video or from images, decoded in a child process.

`choice` says which frames and what a frame is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from worker.errors import Canceled
from worker.media import messages
from worker.media.choice import (
    FRAMES_PER_SECOND,
    MAX_SIDE_PX,
    MOST_FRAMES,
    ShouldStop,
    VideoFrame,
    halving,
    picked,
)
from worker.media.limits import PICTURE_CPU_S, MediaLimits
from worker.media.messages import Nonsense
from worker.media.process import DecoderProcess

# Of `choice.halving` for the most frames that are ever looked at; a child that says more earns nothing by it.
_MOST_ROUNDS = len(halving(MOST_FRAMES))

__all__ = [
    "FRAMES_PER_SECOND",
    "MAX_SIDE_PX",
    "MOST_FRAMES",
    "VideoFrame",
    "picked",
    "picture_frames",
    "video_frames",
]


def video_frames(
    path: Path,
    limits: MediaLimits,
    fps: float = FRAMES_PER_SECOND,
    most: int = MOST_FRAMES,
    should_stop: ShouldStop | None = None,
    *,
    in_rounds: bool = False,
) -> Iterator[VideoFrame]:
    """Yield the chosen frames of the video at `path`: at least one.

    Parameters
    ----------
    fps : float
        Frames per second to choose from. A video with fewer gives the frame that is on the screen.
    most : int
        Of those, this many are kept, spaced evenly.
    should_stop : callable, optional
        Asked before each frame, and while waiting for it.
    in_rounds : bool
        False: in order. True: first a few that are spread over the video, then those between, each round halving the
        gaps (`worker.media.choice.halving`); what is not asked for any more is not decoded.

    Raises
    ------
    NoPicture
        If there is no video stream.
    FramesUnreadable
        If none of the chosen frames can be decoded.
    PictureTooLarge, TooLong, TooManyFrames
        If a limit is exceeded.
    MediaUnreadable, UnsupportedMedia, JobGone
        See `worker.media.probe.probe`.
    DecodingLimit, DecoderCrashed, OutOfMemory, Canceled
        See `worker.media.process.DecoderProcess.receive`.
    """
    shown_s = last_s = 0.0
    rounds = 1
    arguments = {"fps": fps, "most": most, "in_rounds": in_rounds}
    with DecoderProcess("video", [path], limits, should_stop, **arguments) as decoder:
        for frame in _received(decoder, most, should_stop):
            if in_rounds and frame.time_s < last_s and rounds < _MOST_ROUNDS:
                # Each round may have to decode the video from its beginning.
                shown_s, rounds = 0.0, rounds + 1
            last_s = frame.time_s
            if frame.time_s > shown_s:
                decoder.earn(limits.cpu_per_s * min(frame.time_s - shown_s, limits.max_duration_s))
                shown_s = frame.time_s
            yield frame


def picture_frames(
    source: Path | Sequence[Path],
    limits: MediaLimits,
    fps: float = FRAMES_PER_SECOND,
    most: int = MOST_FRAMES,
    should_stop: ShouldStop | None = None,
    *,
    in_rounds: bool = False,
) -> Iterator[VideoFrame]:
    """Yield the chosen pictures of an upload, in the natural order of their names (2 before 10), or in rounds.

    Parameters
    ----------
    source : path or sequence of paths
        One zip, or the pictures: JPEG, PNG, WebP or BMP. What else lies in a zip is passed over.
    fps : float
        Pictures per second, from which their times are computed.
    most : int
        This many are decoded, spaced evenly (all, if fewer).
    should_stop : callable, optional
        Asked before each picture, and while waiting for it.
    in_rounds : bool
        As for a video.

    Raises
    ------
    NoPicture
        If there is none.
    TooManyFrames
        If there are more than `limits.max_images`.
    PictureTooLarge
        If one has more than `limits.max_pixels` pixels or `limits.max_image_bytes` bytes, or the zip
        unpacks to more than `limits.max_zip_ratio` times its size.
    FramesUnreadable
        If one is damaged or of another format, or the zip is damaged or encrypted.
    JobGone
        If a file is there no more.
    DecodingLimit, DecoderCrashed, OutOfMemory, Canceled
        See `worker.media.process.DecoderProcess.receive`.
    """
    is_zip = isinstance(source, Path)
    files = [source] if isinstance(source, Path) else list(source)
    arguments = {"fps": fps, "most": most, "in_rounds": in_rounds, "zip": is_zip}
    with DecoderProcess("pictures", files, limits, should_stop, **arguments) as decoder:
        for frame in _received(decoder, most, should_stop):
            decoder.earn(PICTURE_CPU_S)
            yield frame


def _received(decoder: DecoderProcess, most: int, should_stop: ShouldStop | None) -> Iterator[VideoFrame]:
    for _ in range(most + 1):
        if should_stop is not None and should_stop():
            raise Canceled
        message = decoder.receive({messages.PICTURE: messages.MAX_PICTURE_BYTES})
        if message is None:
            return
        try:
            frame = messages.as_picture(message[1])
        except Nonsense as nonsense:
            raise decoder.refused(str(nonsense)) from None
        yield frame
    raise decoder.refused(f"more than the {most} pictures that were wanted")
