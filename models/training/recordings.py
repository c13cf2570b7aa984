"""Reading the recordings that training learns from, and refusing what nothing can be learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingDataError
from models.stft import SAMPLE_RATE

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".aif", ".aiff"})
SILENCE = 1e-4
"""Peak below which a recording is silent, as a fraction of full scale (-80 dBFS)."""


def read_mono(path: Path) -> NDArray[np.float32]:
    """Read a sound file of any rate and channel count.

    Returns
    -------
    np.ndarray [shape=(samples,), float32], the mean of its channels at 44.1 kHz, full scale 1

    Raises
    ------
    TrainingDataError
        If the file is no sound file, is empty, is silent, or holds samples that are not finite.
    """
    import soundfile  # noqa: PLC0415 - only those who train need it

    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise TrainingDataError(
            f"{path.name!r} cannot be read as sound ({error}): replace it by WAV, FLAC, MP3, Ogg or AIFF, or remove it"
        ) from error
    if not np.isfinite(audio).all():
        raise TrainingDataError(
            f"{path.name!r} holds samples that are not finite (NaN or infinite): export it again, or remove it"
        )
    if audio.shape[0] == 0 or float(np.abs(audio).max()) < SILENCE:
        raise TrainingDataError(f"{path.name!r} is silent: nothing can be learnt from it; replace or remove it")
    # (samples, channels) -> (samples,)
    mono = np.asarray(audio.mean(axis=1), dtype=np.float32)
    if float(np.abs(mono).max()) < SILENCE:
        raise TrainingDataError(
            f"the channels of {path.name!r} cancel out when they are mixed to mono: keep one of them, or remove it"
        )
    if rate != SAMPLE_RATE:
        import librosa  # noqa: PLC0415 - slow to import, and few need it

        mono = np.asarray(librosa.resample(mono, orig_sr=rate, target_sr=SAMPLE_RATE), dtype=np.float32)
    return mono
