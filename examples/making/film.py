"""Writing and reading the files: H.264 and AAC in an mp4, 16-bit PCM in wav."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

VIDEO_QUALITY = "25"  # x264's constant rate factor
AUDIO_BIT_RATE = 192_000  # bits a second: mono, so hardly anything is lost
AAC_FRAME = 1024  # samples


def write_wav(path: Path, sound: NDArray[np.int16], sample_rate: int) -> None:
    """Write `sound` [shape=(samples,), int16] as a mono wav file."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes(sound.astype("<i2").tobytes())


def write_mp4(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    size: tuple[int, int],
    frame_rate: int,
    sound: NDArray[np.int16],
    sample_rate: int,
) -> None:
    """Write pictures and sound as an mp4 that begins to play before it is loaded.

    Parameters
    ----------
    pictures : iterable of np.ndarray [shape=(height, width, 3), uint8]
        RGB, `frame_rate` of them a second.
    size : tuple of int
        Width and height in pixels, both even.
    sound : np.ndarray [shape=(samples,), int16]
        Mono, at `sample_rate` Hz.
    """
    # Bitexact and one thread each: the same sources give the same bytes.
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as out:
        video = out.add_stream("libx264", rate=frame_rate)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.options = {"crf": VIDEO_QUALITY, "preset": "slow", "tune": "animation", "threads": "1"}
        audio = out.add_stream("aac", rate=sample_rate, layout="mono")
        audio.bit_rate = AUDIO_BIT_RATE
        audio.options = {"flags": "+bitexact"}
        written = 0
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, frame_rate)
            out.mux(video.encode(frame))
            while written < min(len(sound), (number + 1) * sample_rate // frame_rate):
                block = sound[written : written + AAC_FRAME].astype(np.float32) / 32768
                heard = av.AudioFrame.from_ndarray(block[None, :], format="fltp", layout="mono")
                heard.sample_rate = sample_rate
                # Without both, the muxer writes no edit list and players start 1,024 samples late.
                heard.pts, heard.time_base = written, Fraction(1, sample_rate)
                out.mux(audio.encode(heard))
                written += len(block)
        out.mux(video.encode(None))
        out.mux(audio.encode(None))


def read_sound(path: Path) -> NDArray[np.float32]:
    """Return the sound of a film [shape=(samples,), float32, mono, 1.0 is full scale], from time 0 on."""
    with av.open(str(path)) as film:
        blocks = [(frame.pts, frame.to_ndarray()[0]) for frame in film.decode(audio=0)]
    # Samples before time 0 are the encoder's run-up.
    first = blocks[0][0] or 0
    return np.concatenate([block for _, block in blocks])[max(0, -first) :]


def read_pictures(path: Path) -> Iterable[NDArray[np.uint8]]:
    """Yield the pictures of a film [shape=(height, width, 3), uint8]."""
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
