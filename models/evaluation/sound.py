"""Reading the recordings of a duet, so that samples of one index belong to one moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io.wavfile
import soundfile
from numpy.typing import NDArray

from models.evaluation.errors import InvalidLayout
from models.evaluation.layout import Duet, Pair

# Half a second: stems made elsewhere may lack the last window of a transform, or be padded to whole ones.
MOST_DIFFERENCE_S = 0.5

Sound = NDArray[np.float32]


def read_truth(duet: Duet) -> tuple[Sound, Sound, int]:
    """Read the mix and the true stems of a duet.

    Returns
    -------
    mix : np.ndarray [shape=(channels, samples), float32, full scale 1.0]
    references : np.ndarray [shape=(2, samples), float32]
        Left and right, channels averaged.
    sample_rate : int [Hz]

    Raises
    ------
    InvalidLayout
        If a file cannot be read, a stem has another rate or length than the mix, samples are not
        finite, or a stem is silent.
    """
    mix, sample_rate = _read(duet.mix)
    references = _read_pair((duet.left, duet.right), duet.mix.name, mix.shape[1], sample_rate)
    for path, reference in zip((duet.left, duet.right), references, strict=True):
        if not reference.any():
            raise InvalidLayout(
                f"{path.name} is silent from beginning to end; against silence nothing can be measured. "
                f"Take {duet.name} out of gt.json, or give its true stem"
            )
    return mix, references, sample_rate


def read_stems(paths: tuple[Path, Path], duet: Duet, n_samples: int, sample_rate: int) -> Sound:
    """Read two stems, cut or padded with silence to `n_samples`.

    Returns
    -------
    np.ndarray [shape=(2, samples), float32, full scale 1.0]
        Left and right, channels averaged.

    Raises
    ------
    InvalidLayout
        As :func:`read_truth`, but a stem may be silent.
    """
    return _read_pair(paths, duet.mix.name, n_samples, sample_rate)


def write_stems(folder: Path, names: Pair, stems: tuple[Sound, Sound], sample_rate: int) -> None:
    """Write two stems (channels, samples) as 32-bit float WAV files, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, stem in zip(names, stems, strict=True):
        partial = folder / f".{name}.part"
        # (channels, samples) -> (samples, channels), the order in the file. SciPy and not libsndfile, which
        # would write the time into a PEAK chunk: the same samples must give the same bytes.
        scipy.io.wavfile.write(partial, sample_rate, np.ascontiguousarray(stem.T, dtype=np.float32))
        partial.replace(folder / name)


def _read_pair(paths: tuple[Path, Path], mix: str, n_samples: int, sample_rate: int) -> Sound:
    pair = np.zeros((2, n_samples), np.float32)
    for row, path in zip(pair, paths, strict=True):
        sound, rate = _read(path)
        if rate != sample_rate:
            raise InvalidLayout(f"{path.name} has {rate} Hz, {mix} has {sample_rate} Hz; wanted is one rate")
        if abs(sound.shape[1] - n_samples) > MOST_DIFFERENCE_S * sample_rate:
            raise InvalidLayout(
                f"{path.name} lasts {sound.shape[1] / rate:.2f} s, {mix} {n_samples / rate:.2f} s; "
                "they must begin and end together"
            )
        common = min(sound.shape[1], n_samples)
        # (channels, samples) -> (samples,)
        row[:common] = sound[:, :common].mean(axis=0)
    return pair


def _read(path: Path) -> tuple[Sound, int]:
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError):
        raise InvalidLayout(f"{path.name} cannot be read as sound; wanted is a WAV file") from None
    if not np.isfinite(samples).all():
        raise InvalidLayout(f"{path.name} holds samples that are not finite (NaN or infinity); export it anew")
    if len(samples) == 0:
        raise InvalidLayout(f"{path.name} holds no samples")
    # (samples, channels) -> (channels, samples)
    return np.ascontiguousarray(samples.T), int(rate)
