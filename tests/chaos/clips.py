"""Short duets to post: made anew from a seed, each as its multipart fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.media import Video, image_bytes, write_media, write_wav, write_zip
from tests.unit.signals import harmonic

RATE_HZ: Final = 16_000
_SECONDS: Final = (1.0, 2.0, 3.0)
_NAMES: Final = (("violin", "cello"), ("flute", "accordion"), ("trumpet", "saxophone"))


@dataclass(frozen=True)
class Clip:
    """What one upload sends: (field, file name, content), and the options."""

    name: str
    files: tuple[tuple[str, str, bytes], ...]
    options: dict[str, str]


def make_clips(folder: Path, seed: int) -> list[Clip]:
    """Return sound with both names given, a video that needs the picture network, and pictures with sound."""
    rng = np.random.default_rng(seed)
    clips = []
    for index, (seconds, names) in enumerate(zip(_SECONDS, _NAMES, strict=True)):
        path = write_wav(folder / f"sound-{index}.wav", _duet(rng, seconds), RATE_HZ, "PCM_16")
        clips.append(_clip(path.name, [("audio", path)], left=names[0], right=names[1]))
    # The report's separator too: its jobs last longer, which makes them easier to hit.
    clips.append(_clip("report", [("audio", path)], left="violin", right="trumpet", separator="report"))
    video = write_media(folder / "video.mp4", _duet(rng, 1.0), RATE_HZ, video=Video(frames=25))
    clips.append(_clip("video", [("video", video)], left="flute"))
    pictures = write_zip(folder / "frames.zip", [(f"{i}.png", image_bytes(i)) for i in range(2)])
    clips.append(_clip("frames", [("frames", pictures), ("audio", folder / "sound-0.wav")], right="cello"))
    return clips


def _clip(name: str, files: list[tuple[str, Path]], **options: str) -> Clip:
    return Clip(name, tuple((field, path.name, path.read_bytes()) for field, path in files), options)


def _duet(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Two tones and a little noise, (1, samples)."""
    low, high = rng.uniform(100.0, 300.0), rng.uniform(400.0, 900.0)
    tones = harmonic(low, seconds, RATE_HZ) + harmonic(high, seconds, RATE_HZ)
    noise = 0.01 * rng.standard_normal(tones.shape)
    return (0.5 * tones + noise).astype(np.float32)[None]
