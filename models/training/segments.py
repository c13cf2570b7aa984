"""Segments: each 5 s of a solo, factorised into its M = 25 bases (report sections 2.2.1 and 2.3.2).

Factorising is the long part of training, so its result is kept a recording at a time, under a name
made of the recording's bytes and the parameters: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingDataError
from models.instruments import NAMES, index_of
from models.nmf import FREE_ITERATIONS, M_COMPONENTS, factorize
from models.stft import BLOCK_FRAMES, BLOCK_SECONDS, N_FREQ, magnitude
from models.training.recordings import read_mono
from models.training.solos import Solo

_SHORTEST = 0.9
"""Share of a segment's frames that the last one must have: a recording of 30 s is six segments."""
_SILENT = 1e-3
"""A segment whose loudest bin is this fraction of its recording's loudest is a rest, not music."""
_BETA = 2.0
_MIN_RECORDINGS = 2
"""Recordings a class: one to learn from, one to be held out."""


@dataclass(frozen=True)
class Segments:
    """Bases of every segment of all solos.

    Attributes
    ----------
    W : np.ndarray [shape=(segments, freq, M), float32, columns of unit Euclidean norm]
    labels : np.ndarray [shape=(segments,), int64]
        The instrument that each segment is of.
    recordings : np.ndarray [shape=(segments,), int64]
        Index into `solos` of the recording that each segment was cut from.
    solos : tuple of Solo
    sha256 : str
        Over the bytes of all recordings and the parameters.
    """

    W: NDArray[np.float32]
    labels: NDArray[np.int64]
    recordings: NDArray[np.int64]
    solos: tuple[Solo, ...]
    sha256: str


def cut(V: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut a magnitude (freq, frames) into segments (freq, 108) that sound; the last may lack a tenth."""
    loudest = float(V.max(initial=0.0))
    blocks = [V[:, start : start + BLOCK_FRAMES] for start in range(0, V.shape[1], BLOCK_FRAMES)]
    return [
        block
        for block in blocks
        if block.shape[1] >= _SHORTEST * BLOCK_FRAMES and float(block.max()) > _SILENT * loudest
    ]


def factorize_recording(path: Path, seed: int = 0, iterations: int = FREE_ITERATIONS) -> NDArray[np.float32]:
    """Return the bases of each 5 s segment of a recording.

    Returns
    -------
    np.ndarray [shape=(segments, freq, M), float32], columns of unit Euclidean norm;
        no segment where the recording is shorter than 4.5 s

    Raises
    ------
    TrainingDataError
        If the recording cannot be used; see :func:`models.training.recordings.read_mono`.
    """
    # (samples,) -> (channels, samples)
    V = magnitude(read_mono(path)[None, :])
    bases = [
        factorize(block, M_COMPONENTS, beta=_BETA, iterations=iterations, seed=seed + number).W
        for number, block in enumerate(cut(V))
    ]
    return np.stack(bases) if bases else np.zeros((0, N_FREQ, M_COMPONENTS), np.float32)


def collect_segments(
    solos: list[Solo],
    cache: Path,
    *,
    seed: int = 0,
    iterations: int = FREE_ITERATIONS,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Segments:
    """Factorise all solos, reusing what `cache` holds, in `jobs` processes of one thread each.

    `progress` is called with (recordings done, recordings in all).

    Raises
    ------
    TrainingDataError
        If a recording cannot be used, or a class is left with fewer than two recordings of 5 s.
    """
    folder = cache / "segments"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(solo.path, folder, seed, iterations) for solo in solos]
    kept: dict[int, Path] = {}
    for index, path in _run_all(tasks, jobs):
        kept[index] = path
        if progress is not None:
            progress(len(kept), len(solos))
    parts = [np.load(kept[index], mmap_mode="r", allow_pickle=False) for index in range(len(solos))]
    sizes = np.array([len(part) for part in parts], dtype=np.int64)
    _check_classes(solos, sizes)
    W = np.empty((int(sizes.sum()), N_FREQ, M_COMPONENTS), np.float32)
    np.concatenate(parts, out=W)
    classes = np.array([index_of(solo.instrument) for solo in solos], dtype=np.int64)
    names = "\n".join(sorted(f"{solo.instrument} {kept[index].name}" for index, solo in enumerate(solos)))
    return Segments(
        W=W,
        labels=np.repeat(classes, sizes),
        recordings=np.repeat(np.arange(len(solos), dtype=np.int64), sizes),
        solos=tuple(solos),
        sha256=hashlib.sha256(names.encode()).hexdigest(),
    )


def hold_out(segments: Segments, share: float, seed: int) -> NDArray[np.bool_]:
    """Choose which segments are held out: whole recordings, about `share` of each class, at least one, and
    of each origin (soundfont, set of notes) in proportion.

    A recording's segments resemble each other, so a split by segment would report what the network
    remembers instead of what it has learnt.

    Returns
    -------
    np.ndarray [shape=(segments,), bool], true where held out
    """
    rng = np.random.default_rng((seed, 1))
    held: list[int] = []
    for label in np.unique(segments.labels):
        recordings = np.unique(segments.recordings[segments.labels == label])
        count = min(len(recordings) - 1, max(1, round(share * len(recordings))))
        held.extend(_in_turn(rng.permutation(recordings), segments.solos)[:count])
    return np.isin(segments.recordings, np.array(held, dtype=np.int64))


def _in_turn(recordings: NDArray[np.int64], solos: tuple[Solo, ...]) -> list[int]:
    """Order recordings so that any first part of them has every origin in proportion."""
    by_origin: dict[str, list[int]] = {}
    for recording in recordings:
        by_origin.setdefault(solos[int(recording)].origin, []).append(int(recording))
    places = [
        ((place + 0.5) / len(members), recording)
        for members in by_origin.values()
        for place, recording in enumerate(members)
    ]
    return [recording for _, recording in sorted(places)]


def _run_all(tasks: list[tuple[Path, Path, int, int]], jobs: int) -> Iterator[tuple[int, Path]]:
    if jobs == 1:
        for index, task in enumerate(tasks):
            yield index, _factorize_to_cache(*task)
        return
    # Spawned, not forked: a forked child would inherit torch's threads in an unknown state.
    with ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_use_one_thread
    ) as pool:
        futures = {pool.submit(_factorize_to_cache, *task): index for index, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _use_one_thread() -> None:
    import torch  # noqa: PLC0415 - in the child, where it is needed anyway

    torch.set_num_threads(1)


def _factorize_to_cache(path: Path, folder: Path, seed: int, iterations: int) -> Path:
    """Factorise one recording unless that has been done; return the file that holds its bases."""
    digest = hashlib.sha256(path.read_bytes())
    digest.update(f"M={M_COMPONENTS} beta={_BETA} iterations={iterations} seed={seed} freq={N_FREQ}".encode())
    target = folder / f"{digest.hexdigest()}.npy"
    if not target.exists():
        bases = factorize_recording(path, seed, iterations)
        partial = folder / f".{target.stem}.{os.getpid()}.npy"
        np.save(partial, bases, allow_pickle=False)
        partial.replace(target)
    return target


def _check_classes(solos: list[Solo], sizes: NDArray[np.int64]) -> None:
    for name in NAMES:
        mine = [int(size) for solo, size in zip(solos, sizes, strict=True) if solo.instrument == name]
        usable = sum(size > 0 for size in mine)
        if mine and usable < _MIN_RECORDINGS:
            raise TrainingDataError(
                f"{name} has {usable} recordings of at least {BLOCK_SECONDS:.0f} s (of {len(mine)} files), wanted are "
                f"{_MIN_RECORDINGS} or more, one to learn from and one to be held out: add longer solos of {name}, "
                "or remove its folder"
            )
