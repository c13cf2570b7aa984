"""Hold the promise against the files: left + right = mix, sample by sample, at the mix's length. Not for mp3."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from worker.media.limits import MediaLimits
from worker.media.sound import SoundReader


@dataclass(frozen=True, slots=True)
class Sum:
    """Largest |left + right - mix| (full scale 1.0), and how many samples were compared."""

    max_error: float
    samples: int


def check_sum(sound: Path, left: Path, right: Path, limits: MediaLimits, gain_db: float = 0.0) -> Sum:
    """Decode the recording anew and compare it with the sum of its stems, which were changed by `gain_db`.

    Raises
    ------
    ValueError
        If rate, channels or length differ.
    JobFailure
        If the recording cannot be decoded.
    """
    largest, done = 0.0, 0
    gain = np.float32(10.0 ** (gain_db / 20.0))
    with SoundReader(sound, limits) as mix, soundfile.SoundFile(left) as one, soundfile.SoundFile(right) as other:
        formats = {(stem.samplerate, stem.channels) for stem in (one, other)}
        if formats != {(mix.sample_rate, mix.channels)}:
            raise ValueError(f"the mix has {mix.sample_rate} Hz and {mix.channels} channels, the stems {formats}")
        for block in mix.blocks():
            # (samples, channels) -> (channels, samples)
            stems = [stem.read(block.shape[1], dtype="float32", always_2d=True).T for stem in (one, other)]
            if stems[0].shape != block.shape or stems[1].shape != block.shape:
                raise ValueError(f"a stem ends before the mix, near sample {done}")
            largest = max(largest, float(np.abs(stems[0] + stems[1] - gain * block).max(initial=0.0)))
            done += block.shape[1]
        if one.frames != done or other.frames != done:
            raise ValueError(f"the mix has {done} samples, the stems {one.frames} and {other.frames}")
    return Sum(largest, done)
