"""The clips that the learned separator is trained on: what guided NMF made of each mix, and the truth.

Guided NMF is the long part, so clips are made once, by all cores, and kept in the cache a chunk at a time: a run that
was stopped goes on where it was. Later epochs see the same clips; their variety comes from their number.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.adaptive import Fit, Settings
from models.children import begin_child, interrupts_held
from models.errors import TrainingDataError
from models.instruments import index_of
from models.log_bands import N_BANDS
from models.masks import ratio_mask
from models.refiner import N_FEATURES, REFINED_ROWS, features
from models.stft import stft
from models.training.cross_fit import Banks
from models.training.mixing import CLIP_FRAMES, Mixer

CHUNK = 50
Span = tuple[int, int]
"""The first clip of a chunk, and how many it has."""
RECIPE = 1
"""Grows when the way clips are made changes, so that cached ones are not taken for new ones."""
_ROWS = N_FEATURES * N_BANDS + 3 * REFINED_ROWS
_IDEAL_RANGE = (-1.0, 2.0)  # a player's ideal real share lies outside 0..1 where the two cancel each other


@dataclass(frozen=True)
class Clips:
    """Clips in memory-mapped chunks of half-precision numbers.

    Attributes
    ----------
    labels : np.ndarray [shape=(clips, 2), int64]
        Who the two players are.
    """

    chunks: tuple[NDArray[np.float16], ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, numbers: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return features (n, N_FEATURES, N_BANDS, frames), and (n, REFINED_ROWS, frames) each of the mix's magnitude
        (largest 1), guided NMF's share for the first player, and the ideal share; all float32.
        """
        rows = np.stack([self.chunks[number // CHUNK][number % CHUNK] for number in numbers])
        part = torch.from_numpy(rows).float()
        split = N_FEATURES * N_BANDS
        # (n, rows, frames) -> (n, kinds, rows of a kind, frames)
        heard = part[:, :split].reshape(len(part), N_FEATURES, N_BANDS, -1)
        linear = part[:, split:].reshape(len(part), 3, REFINED_ROWS, -1)
        return heard, linear[:, 0], linear[:, 1], linear[:, 2]


def collect_clips(
    mixer: Mixer,
    banks: Banks,
    count: int,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Clips:
    """Make `count` clips, or read those that `folder` holds.

    Raises
    ------
    TrainingDataError
        If a solo cannot be used, or a process died; what is finished is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spans = [(first, min(CHUNK, count - first)) for first in range(0, count, CHUNK)]
    missing = [span for span in spans if not _labels_file(folder, span).exists()]
    done = count - sum(size for _, size in missing)
    if missing:
        for size in _made(missing, mixer, banks, folder, jobs):
            done += size
            if progress is not None:
                progress(done, count)
    return Clips(
        chunks=tuple(np.load(_chunk_file(folder, span), mmap_mode="r") for span in spans),
        labels=np.concatenate([np.load(_labels_file(folder, span)) for span in spans]),
    )


def clips_key(solos_sha256: str, banks: Banks, seed: int) -> str:
    """A name for clips of these solos, banks and seed."""
    digest = hashlib.sha256(json.dumps([RECIPE, solos_sha256, seed, asdict(Settings())]).encode())
    for key in sorted(banks):
        digest.update(repr(key).encode())
        digest.update(banks[key].tobytes())
    return digest.hexdigest()[:16]


def make_clip(mixer: Mixer, banks: Banks, number: int) -> tuple[NDArray[np.float16], tuple[int, int]]:
    """Make one clip: its rows (features, then magnitude, guided share, ideal share) and its players."""
    mix = mixer.draw(number)
    # (2, samples) -> (2, freq, frames)
    players = torch.from_numpy(stft(mix.players))
    X = players.sum(dim=0)
    V = X.abs()
    W_left, W_right = (banks[solo.instrument, solo.origin].astype(np.float32) for solo in mix.solos)
    V_left, V_right = Fit(V.numpy(), W_left, W_right, Settings()).run()
    share = ratio_mask(V_left, V_right)
    heard = features(V, torch.from_numpy(share), torch.from_numpy(V_left), torch.from_numpy(V_right))
    # The real share that brings the masked mix nearest to the first player.
    ideal = (players[0] * X.conj()).real / (V.square() + 1e-12 * V.max() ** 2)
    linear = [V / V.max(), torch.from_numpy(share), ideal.clamp(*_IDEAL_RANGE)]
    rows = torch.cat([heard.flatten(0, 1), *(part[:REFINED_ROWS] for part in linear)])
    labels = tuple(index_of(solo.instrument) for solo in mix.solos)
    return rows.to(torch.float16).numpy(), (labels[0], labels[1])


def _made(missing: list[Span], mixer: Mixer, banks: Banks, folder: Path, jobs: int) -> Iterator[int]:
    """Make chunks, and yield the size of each that is done."""
    # Spawned, not forked: a forked child would inherit torch's threads in an unknown state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(mixer, banks, folder)) as pool:
        try:
            with interrupts_held():
                futures = [pool.submit(_make_chunk, span) for span in missing]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise TrainingDataError(
                "a process that makes clips died, most likely for want of memory; what is finished is kept. "
                "Run the same command again, with fewer --jobs"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_work: list[tuple[Mixer, Banks, Path]] = []
"""What all chunks of a process are made from."""


def _begin(mixer: Mixer, banks: Banks, folder: Path) -> None:
    begin_child()
    torch.set_flush_denormal(True)
    _work[:] = [(mixer, banks, folder)]


def _make_chunk(span: Span) -> int:
    ((mixer, banks, folder),) = _work
    first, size = span
    rows = np.empty((size, _ROWS, CLIP_FRAMES), np.float16)
    labels = np.empty((size, 2), np.int64)
    for place in range(size):
        rows[place], labels[place] = make_clip(mixer, banks, first + place)
    _write(_chunk_file(folder, span), rows)
    # The labels come last: where they are, the chunk is whole.
    _write(_labels_file(folder, span), labels)
    return size


def _write(path: Path, array: NDArray[np.generic]) -> None:
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _chunk_file(folder: Path, span: Span) -> Path:
    return folder / f"{span[0]:06d}-{span[1]}.npy"


def _labels_file(folder: Path, span: Span) -> Path:
    return folder / f"{span[0]:06d}-{span[1]}.labels.npy"
