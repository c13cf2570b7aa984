"""Valid media, short and small: what the fuzzer's mutations begin with. The same bytes on each run."""

from __future__ import annotations

import io
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.fuzz.case import Upload
from tests.media import Video, image_bytes, noise, write_media

RATE = 16_000
SECONDS = 0.2
# Without it, Matroska files get random ids.
BITEXACT = {"fflags": "+bitexact"}
FRAGMENTED = BITEXACT | {"movflags": "frag_keyframe+empty_moov"}

# Name, suffix, codec of the sound, of the picture, rate in Hz, options of the muxer.
_VIDEOS = (
    ("mp4", "mp4", "aac", "libx264", RATE, BITEXACT),
    ("fragmented mp4", "mp4", "aac", "libx264", RATE, FRAGMENTED),
    ("mov", "mov", "pcm_s16le", "mpeg4", RATE, BITEXACT),
    ("mkv", "mkv", "flac", "libx264", RATE, BITEXACT),
    ("webm", "webm", "libopus", "libvpx", 48_000, BITEXACT),
    ("avi", "avi", "libmp3lame", "mpeg4", RATE, BITEXACT),
)


def sound(channels: int = 2, seconds: float = SECONDS, rate: int = RATE) -> NDArray[np.float32]:
    """Noise, (channels, samples) float32."""
    return noise(channels, round(seconds * rate))


def wav(samples: NDArray[np.float32], rate: int = RATE, subtype: str = "PCM_16", kind: str = "WAV") -> bytes:
    """Return `samples` (channels, samples) as a file of `kind`."""
    content = io.BytesIO()
    soundfile.write(content, samples.T, rate, subtype=subtype, format=kind)
    return content.getvalue()


def zip_of(entries: Sequence[tuple[zipfile.ZipInfo | str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of (name, content), all dated 1980 so that it is the same on each day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of names that come twice, which some cases want
        for name, content in entries:
            info = zipfile.ZipInfo(name) if isinstance(name, str) else name
            archive.writestr(info, content, compress_type=method)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def videos() -> dict[str, Upload]:
    """Return a short video of each container."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, suffix, codec, picture, rate, options in _VIDEOS:
            path = Path(folder) / f"duet.{suffix}"
            write_media(path, sound(rate=rate), rate, codec=codec, video=Video(4, codec=picture), options=dict(options))
            found[name] = Upload("video", path.name, path.read_bytes())
    return found


@lru_cache(maxsize=1)
def sounds() -> dict[str, Upload]:
    """Return a short recording of each format."""
    found = {
        "16-bit wav": Upload("audio", "duet.wav", wav(sound())),
        "float wav": Upload("audio", "duet.wav", wav(sound(), subtype="FLOAT")),
        "24-bit wav": Upload("audio", "duet.wav", wav(sound(1), subtype="PCM_24")),
        "flac": Upload("audio", "duet.flac", wav(sound(), subtype="PCM_16", kind="FLAC")),
        "mp3": Upload("audio", "duet.mp3", wav(sound(), subtype="MPEG_LAYER_III", kind="MP3")),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, suffix, codec in (("m4a", "m4a", "aac"), ("ogg", "ogg", "libopus")):
            path = Path(folder) / f"duet.{suffix}"
            rate = 48_000 if name == "ogg" else RATE
            write_media(path, sound(rate=rate), rate, codec=codec, options=dict(BITEXACT))
            found[name] = Upload("audio", path.name, path.read_bytes())
    return found


@lru_cache(maxsize=1)
def pictures() -> dict[str, Upload]:
    """Return pictures, and zips of some, each to go with a recording."""
    found = {
        kind.lower(): Upload("frames", f"1.{kind.lower()}", image_bytes(1, kind))
        for kind in ("PNG", "JPEG", "WEBP", "BMP")
    }
    entries = [(f"{i}.png", image_bytes(i)) for i in range(3)]
    found["zip"] = Upload("frames", "frames.zip", zip_of(entries))
    found["packed zip"] = Upload("frames", "frames.zip", zip_of(entries, zipfile.ZIP_DEFLATED))
    return found
