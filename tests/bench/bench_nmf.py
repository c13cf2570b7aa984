"""Guided NMF of a 5 s block at the shipped size: ours against scikit-learn's."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from sklearn.decomposition import non_negative_factorization

from models import parallel
from models.bases import load_default_bases
from models.nmf import GUIDED_ITERATIONS, activations
from models.stft import BLOCK_FRAMES, magnitude

LEFT, RIGHT = "trumpet", "acoustic_guitar"
EXAMPLES = Path(__file__).parents[2] / "examples"
FIRST_FRAME = 20
RUNS = 3


def _best(call: Callable[[], NDArray[np.float32]]) -> tuple[float, NDArray[np.float32]]:
    times, result = [], call()
    for _ in range(RUNS):
        begin = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - begin)
    return min(times), result


def block() -> NDArray[np.float32]:
    """The magnitude (freq, frames) of five seconds of the example duet."""
    stems = [soundfile.read(EXAMPLES / f"duet_{side}.wav", dtype="float32")[0] for side in ("left", "right")]
    return magnitude((stems[0] + stems[1])[None])[:, FIRST_FRAME : FIRST_FRAME + BLOCK_FRAMES]


def bases() -> NDArray[np.float32]:
    """The shipped bases of both players (freq, bases)."""
    bank = load_default_bases("nmf")
    return np.concatenate([bank.of(LEFT), bank.of(RIGHT)], axis=1)


@cache
def by_sklearn() -> tuple[float, NDArray[np.float32]]:
    """Seconds that scikit-learn's solver takes for the block at its defaults, and its activations (frames, bases)."""
    W = bases()
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # (freq, frames) ~ W H is, transposed, sklearn's X ~ W' H' with H' fixed.
        found, _, _ = non_negative_factorization(
            block().T, H=np.ascontiguousarray(W.T), n_components=W.shape[1], init="custom", update_H=False
        )
    return time.perf_counter() - begin, found


def main() -> None:
    """Print the table."""
    W, V = bases(), block()
    sklearn_s, theirs = by_sklearn()
    with parallel.all_threads():
        ours_s, H = _best(lambda: activations(V, W))
    error = float(np.linalg.norm(V - W @ H))
    reference = float(np.linalg.norm(V - W @ theirs.T))
    print(f"{W.shape[0]} rows x {BLOCK_FRAMES} frames, {W.shape[1]} bases, {parallel.threads()} threads")
    print(f"scikit-learn, its defaults {sklearn_s:9.3f} s")
    print(f"activations(),{GUIDED_ITERATIONS:4} updates {ours_s:9.3f} s  {sklearn_s / ours_s:.0f} times faster", end="")
    print(f", error {100 * (error / reference - 1):+.2f} %")
