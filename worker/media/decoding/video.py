"""Video: decodes the chosen frames of a video stream.

A first pass reads the time stamps of all packets without decoding (headers lie); the second decodes
what is needed to show the chosen frames and seeks past the rest.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import cast

import av.error
import av.video.frame
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData, Type
from av.video.stream import VideoStream

from worker.errors import FramesUnreadable, NoPicture, TooManyFrames
from worker.media.choice import FRAMES_PER_SECOND, MOST_FRAMES, Image, VideoFrame, halving, picked, shrunk
from worker.media.decoding.container import check_size, opened, origin, packets, picture_stream
from worker.media.decoding.probe import too_long
from worker.media.limits import MediaLimits

# A pixel that is wider or taller than this is a header gone wrong.
MAX_PIXEL_ASPECT = 4
# The same on every machine: with more cores a decoder would hold more frames in memory, and might conceal
# damage in another way.
DECODER_THREADS = 4


def video_frames(
    path: Path,
    limits: MediaLimits,
    fps: float = FRAMES_PER_SECOND,
    most: int = MOST_FRAMES,
    *,
    in_rounds: bool = False,
) -> Iterator[VideoFrame]:
    """Yield the chosen frames of the video at `path`, in order or in rounds of `choice.halving`: at least one.

    Parameters
    ----------
    fps : float
        Frames per second to choose from. A video with fewer gives the frame that is on the screen.
    most : int
        Of those, this many are kept, spaced evenly.

    Raises
    ------
    NoPicture
        If there is no video stream.
    FramesUnreadable
        If none of the chosen frames can be decoded.
    PictureTooLarge, TooLong, TooManyFrames
        If a limit is exceeded.
    MediaUnreadable, UnsupportedMedia, OutOfMemory, JobGone
        See `worker.media.decoding.container.opened`.
    """
    index = _Index(path, limits)
    every = index.chosen(fps, most)
    found = False
    screen = _Screen(path, limits, index)
    for places in halving(len(every)) if in_rounds else [list(range(len(every)))]:
        chosen = [every[place] for place in places]
        shown = {}
        for pts, image in screen.show(sorted({pts for pts, _ in chosen})):
            shown[pts] = image
            while chosen and chosen[0][0] <= pts:
                wanted, time_s = chosen.pop(0)
                if wanted in shown:
                    found = True
                    yield VideoFrame(time_s, shown[wanted])
            shown = {pts: image}
    if not found:
        raise FramesUnreadable(
            "The picture of the video cannot be decoded. Check that it plays, convert it to H.264 in an MP4 "
            "and upload it again."
        )


class _Index:
    """The time stamps of a video stream, read without decoding."""

    def __init__(self, path: Path, limits: MediaLimits) -> None:
        self.stamps: list[int] = []
        self.keys: list[int] = []
        with opened(path, limits) as container:
            stream = _picture_of(container)
            self.tick = stream.time_base or Fraction(1, 1000)
            self.origin = origin(container)
            last_duration = 0
            for packet in packets(container, stream):
                pts = packet.pts if packet.pts is not None else packet.dts
                if pts is None or packet.size == 0 or packet.is_discard:
                    continue
                if len(self.stamps) >= limits.max_video_frames:
                    raise TooManyFrames(
                        f"The video has more than {limits.max_video_frames:,} frames. Cut it into shorter parts."
                    )
                self.stamps.append(pts)
                last_duration = packet.duration or last_duration
                if packet.is_keyframe:
                    self.keys.append(pts)
            rate = stream.average_rate
        if not self.stamps:
            raise FramesUnreadable("The video track holds no pictures. Check that the video plays and upload it again.")
        self.stamps.sort()
        self.keys.sort()
        last = Fraction(last_duration) or (1 / (rate * self.tick) if rate else Fraction(1))
        self.duration_s = float((self.stamps[-1] - self.stamps[0] + last) * self.tick)
        if self.duration_s > limits.max_duration_s:
            raise too_long(limits, self.duration_s)

    def chosen(self, fps: float, most: int) -> list[tuple[int, float]]:
        """Return (time stamp of the frame on the screen, seconds from the origin) for each choice."""
        tick = float(self.tick)
        # The small number keeps 10 s at 2.4 a second from giving 23 by rounding.
        count = max(1, int(self.duration_s * fps + 1e-6))
        choices = []
        for i in picked(count, most):
            at = self.stamps[0] + i / fps / tick
            # A hair of a tick, for times that fall on a frame.
            pts = self.stamps[max(0, bisect.bisect_right(self.stamps, at + 1e-6) - 1)]
            choices.append((pts, float(at * tick - float(self.origin))))
        return choices

    def key_before(self, pts: int) -> int | None:
        """Return the time stamp of the last key frame at or before `pts`."""
        place = bisect.bisect_right(self.keys, pts)
        return self.keys[place - 1] if place else None


class _Screen:
    """Decodes the frames that are on the screen at given time stamps, seeking where that saves work."""

    def __init__(self, path: Path, limits: MediaLimits, index: _Index) -> None:
        self._path = path
        self._limits = limits
        self._index = index

    def show(self, wanted: list[int]) -> Iterator[tuple[int, Image]]:
        """Yield (time stamp, picture) for each of the rising `wanted` that can be decoded."""
        done = 0
        try:
            for pts, image in self._walk(wanted, seeking=True):
                yield pts, image
                done = bisect.bisect_right(wanted, pts)
        except _SeekFailed:
            yield from self._walk(wanted[done:], seeking=False)

    def _walk(self, wanted: list[int], *, seeking: bool) -> Iterator[tuple[int, Image]]:
        with opened(self._path, self._limits) as container:
            stream = _picture_of(container)
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = DECODER_THREADS
            frames = self._decoded(container, stream)
            at: int | None = None
            ahead: av.video.frame.VideoFrame | None = None
            for pts in wanted:
                held = None
                landed = False
                key = self._index.key_before(pts)
                if seeking and key is not None and (at is None or key > at) and key > self._index.stamps[0]:
                    _seek(container, stream, key)
                    frames, ahead, landed = self._decoded(container, stream), None, True
                while True:
                    frame = ahead if ahead is not None else next(frames, None)
                    ahead = None
                    if frame is None:
                        break
                    # A stream without time stamps is shown in the order in which it comes.
                    now = frame.pts if frame.pts is not None else pts
                    if now > pts:
                        if landed and held is None:
                            raise _SeekFailed
                        ahead = frame
                        break
                    held, at = frame, now
                    if now == pts:
                        break
                if held is not None:
                    yield pts, self._upright(held, stream)
                elif ahead is None:
                    if landed:
                        raise _SeekFailed
                    return

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.video.frame.VideoFrame]:
        for packet in packets(container, stream):
            try:
                yield from packet.decode()
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:
                continue

    def _upright(self, frame: av.video.frame.VideoFrame, stream: VideoStream) -> Image:
        check_size(frame.width, frame.height, self._limits)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if not Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT:
            aspect = Fraction(1)
        width, height = shrunk(round(frame.width * aspect), frame.height)
        rgb = frame.reformat(width, height, "rgb24", interpolation="AREA", threads=1)
        return _as_displayed(np.asarray(rgb.to_ndarray(), dtype=np.uint8), _display_matrix(frame))


class _SeekFailed(Exception):  # noqa: N818 - never leaves this module
    """A seek went past the frame that was wanted."""


def _picture_of(container: InputContainer) -> VideoStream:
    stream = picture_stream(container)
    if stream is None:
        raise NoPicture
    return stream


def _seek(container: InputContainer, stream: VideoStream, pts: int) -> None:
    try:
        container.seek(pts, stream=stream)
    except av.error.FFmpegError:
        raise _SeekFailed from None


def _display_matrix(frame: av.video.frame.VideoFrame) -> tuple[int, int, int, int]:
    """Return a, b, c, d of the display matrix, where x' = a x + c y and y' = b x + d y (16.16 fixed point)."""
    # PyAV's stub calls it a TypedDict; it is a mapping from Type.
    side_data = cast("Mapping[Type, SideData]", frame.side_data)
    if Type.DISPLAYMATRIX not in side_data:
        return 1, 0, 0, 1
    matrix = np.frombuffer(bytes(side_data[Type.DISPLAYMATRIX]), dtype=np.int32)
    return int(matrix[0]), int(matrix[1]), int(matrix[3]), int(matrix[4])


def _as_displayed(image: Image, matrix: tuple[int, int, int, int]) -> Image:
    """Turn and mirror a picture as phones ask for; a mirrored one would swap left and right."""
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        flip_x, flip_y = a < 0, d < 0
    else:
        # (height, width, 3) -> (width, height, 3)
        image = image.transpose(1, 0, 2)
        flip_x, flip_y = c < 0, b < 0
    image = image[:, ::-1] if flip_x else image
    image = image[::-1] if flip_y else image
    return np.ascontiguousarray(image)
