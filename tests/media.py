"""Makes test media at run time, with the libraries that Duetto reads them with. No test needs a file."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
FRAME_SAMPLES = 1000
# Suffix, codec of the sound, codec of the picture: one of each kind of container that is taken.
CONTAINERS = (
    ("mp4", "aac", "libx264"),
    ("mov", "pcm_s16le", "libx264"),
    ("mkv", "flac", "libx264"),
    ("webm", "libopus", "libvpx"),
    ("avi", "libmp3lame", "mpeg4"),
    ("ts", "aac", "libx264"),
)


def noise(channels: int, samples: int, seed: int = 0, level: float = 0.1) -> NDArray[np.float32]:
    """White noise, (channels, samples) float32: every shift of it is told apart by correlation."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((channels, samples)) * level).clip(-1, 1).astype(np.float32)


MARK_BITS = 8


def marked_frame(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """A frame, (height, width, 3) uint8, with its number as bars of black and white, lowest bit left."""
    bits = (index >> np.arange(MARK_BITS)) & 1
    row = bits[np.arange(width) * MARK_BITS // width].astype(np.uint8) * 255
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, width, 3)))


def mark_of(image: NDArray[np.uint8]) -> int:
    """Read the number back from a `marked_frame`, whatever a codec did to it."""
    bars = [float(bar.mean()) > 127 for bar in np.array_split(image.astype(np.float32), MARK_BITS, axis=1)]
    return sum(1 << i for i, bar in enumerate(bars) if bar)


@dataclass(frozen=True)
class Video:
    """A picture track."""

    frames: int
    fps: int = 25
    width: int = 64
    height: int = 48
    codec: str = "libx264"
    pixels: str = "yuv420p"
    gop: int = 12
    rotation: float = 0.0
    mirrored: bool = False
    image: Callable[[int, int, int], NDArray[np.uint8]] = marked_frame
    options: dict[str, str] = field(default_factory=dict)


def write_media(
    path: Path,
    sound: NDArray[np.float32] | None = None,
    rate: int = 44100,
    *,
    codec: str = "aac",
    video: Video | None = None,
    start_s: float = 0.0,
    gap: tuple[int, int] | None = None,
    options: dict[str, str] | None = None,
    container: str | None = None,
    bit_rate: int | None = None,
) -> Path:
    """Write `sound` (channels, samples) and a picture track to `path` and return it.

    The sound begins at `start_s`; with `gap = (at, length)`, `length` samples of time without sound
    follow sample `at`.
    """
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        picture = _add_video(out, video) if video else None
        track = None
        if sound is not None:
            track = out.add_stream(codec, rate=rate, layout=LAYOUTS[sound.shape[0]])
            assert isinstance(track, AudioStream)
            track.time_base = Fraction(1, rate)
            if bit_rate:
                track.bit_rate = bit_rate
        if video and picture:
            _encode_video(out, picture, video)
        if sound is not None and track is not None:
            _encode_sound(out, track, sound, rate, round(start_s * rate), gap)
    return path


def write_wav(path: Path, sound: NDArray[np.float32], rate: int, subtype: str = "FLOAT") -> Path:
    """Write `sound` (channels, samples) with soundfile; the suffix names the format."""
    soundfile.write(str(path), sound.T, rate, subtype=subtype)
    return path


def _add_video(out: OutputContainer, video: Video) -> VideoStream:
    stream = out.add_stream(video.codec, rate=video.fps, options=video.options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = video.width, video.height, video.pixels
    stream.codec_context.gop_size = video.gop
    if video.rotation or video.mirrored:
        stream.set_display_rotation(video.rotation, hflip=video.mirrored)
    return stream


def _encode_video(out: OutputContainer, stream: VideoStream, video: Video) -> None:
    for i in range(video.frames):
        frame = av.VideoFrame.from_ndarray(video.image(i, video.width, video.height), format="rgb24")
        frame.pts, frame.time_base = i, Fraction(1, video.fps)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _encode_sound(
    out: OutputContainer, stream: AudioStream, sound: NDArray[np.float32], rate: int, start: int, gap: Any
) -> None:
    wanted = stream.codec_context.format.name
    layout = LAYOUTS[sound.shape[0]]
    resampler = av.AudioResampler(wanted, layout, rate)
    size = stream.codec_context.frame_size or FRAME_SAMPLES
    for at in range(0, sound.shape[1], size):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[:, at : at + size]), "fltp", layout)
        frame.sample_rate = rate
        # Without pts and time base the muxer writes no edit list.
        frame.pts, frame.time_base = at + start, Fraction(1, rate)
        later = gap[1] if gap and at >= gap[0] else 0
        for converted in resampler.resample(frame):
            converted.pts, converted.time_base = at + start + later, Fraction(1, rate)
            out.mux(stream.encode(converted))
    out.mux(stream.encode(None))


@lru_cache(maxsize=1)
def png_bomb(width: int = 12000, height: int = 12000) -> bytes:
    """A PNG of one colour: some hundred KB that unpack to width * height * 3 bytes."""
    row = b"\0" + b"\0" * (width * 3)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def mov_of_png(path: Path, png: bytes, width: int, height: int, codec: str = "png") -> Path:
    """Put one PNG, as it is, into a QuickTime file that says it measures `width` by `height`."""
    with av.open(str(path), "w", format="mov") as out:
        stream = out.add_stream(codec, rate=1)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        for i in range(2):
            packet = av.Packet(png)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, i, i, Fraction(1, 1)
            packet.is_keyframe = True
            out.mux(packet)
    return path


def image_bytes(index: int, kind: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    """An encoded `marked_frame`."""
    content = io.BytesIO()
    Image.fromarray(marked_frame(index, *size)).save(content, kind)
    return content.getvalue()


def write_zip(path: Path, entries: Sequence[tuple[str, bytes]], packed: bool = False) -> Path:
    """Write a zip of (name, content)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def delay_of(sound: NDArray[np.float32], heard: NDArray[np.float32], most: int = 8192) -> int:
    """Samples by which `heard` is later than `sound` (first channels), found by correlation."""
    part = sound[0, : min(4096, sound.shape[1])].astype(np.float64)
    window = heard[0, : len(part) + most].astype(np.float64)
    size = 1 << int(np.ceil(np.log2(len(window) + len(part))))
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(part, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: len(window)]))
