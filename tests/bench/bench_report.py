"""A 60 s duet: the report's pipeline to the letter against ours, separation (target 100 times) and tagging (target 30).

Its separation is scikit-learn's solver at its defaults on blocks of 5 s; its tagging is one pass of DenseNet-161 for
either half of 200 frames (section 2.3.1). Both are far too slow to run through: one block and some halves are timed,
and scaled. DenseNet's weights are random, which take as long as any.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models import get_separator, parallel, separate
from models.duet import MAX_FRAMES
from models.hearing import load_listener
from models.players import FusedLabels, label_players
from models.stft import BLOCK_SECONDS
from models.taggers import load_tagger
from models.taggers.densenet161 import build
from tests.bench.bench_nmf import LEFT, RIGHT, by_sklearn
from tests.bench.looped import looped_duet
from worker.media.frames import video_frames
from worker.media.limits import MediaLimits
from worker.media.sound import SoundReader

SECONDS = 60.0
HALVES_TIMED = 8
FRAMES_READ = 32  # more than ours looks at
SIDE_PX = 224  # of what DenseNet-161 looks at
RUNS = 3


def _best(call: Callable[[], object], runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def densenet_pass() -> Callable[[], object]:
    """One pass over one half of a frame, as torchvision's network is used by everyone."""
    torch.manual_seed(0)
    network = build().eval()
    pixels = torch.randn(1, 3, SIDE_PX, SIDE_PX)

    def run() -> object:
        with parallel.all_threads(), torch.no_grad():
            return network(pixels).softmax(dim=1)

    run()
    return run


def duet() -> tuple[NDArray[np.float32], int, list[NDArray[np.uint8]]]:
    """The duet's sound (channels, samples), its rate in Hz, and frames in the order in which ours looks at them."""
    limits = MediaLimits()
    with tempfile.TemporaryDirectory() as folder:
        video = looped_duet(Path(folder) / "duet.mp4", SECONDS)
        with SoundReader(video, limits) as reader:
            sound = np.concatenate(list(reader.blocks()), axis=1)
        frames = [frame.image for frame in islice(video_frames(video, limits, in_rounds=True), FRAMES_READ)]
    return sound, reader.sample_rate, frames


def main() -> None:
    """Print the table."""
    sound, rate, frames = duet()
    print(f"{parallel.threads()} threads")
    print(f"{'':<42}{'seconds':>9}{'x real time':>13}{'times faster':>14}")
    solver_s = by_sklearn()[0] * SECONDS / BLOCK_SECONDS
    _row(f"report: scikit-learn, {SECONDS / BLOCK_SECONDS:.0f} blocks (1 timed)", solver_s)
    for name in ("learned", "nmf", "report"):
        separator = get_separator(name)
        ours_s = _best(lambda separator=separator: separate(sound, rate, separator, LEFT, RIGHT))  # type: ignore[misc]
        _row(f"ours: {name}, from sound to stems", ours_s, solver_s)
    halves = 2 * MAX_FRAMES
    passes_s = _best(densenet_pass(), HALVES_TIMED) * halves
    _row(f"report: DenseNet-161, {halves} halves ({HALVES_TIMED} timed)", passes_s)
    tagger, listener = load_tagger("efficientnet-lite2", offline=True), load_listener()
    looked: list[FusedLabels] = []

    def ours() -> None:
        heard = listener.listen([sound], rate, len(sound))
        looked.append(label_players(frames, heard, tagger))

    ours_s = _best(ours)
    labels = looked[-1].labels
    _row(f"ours: sound and {len(labels.left_probabilities)} frames", ours_s, passes_s)
    print(f"ours says {labels.left.instrument} and {labels.right.instrument}; it is {LEFT} and {RIGHT}")


def _row(what: str, seconds: float, theirs_s: float | None = None) -> None:
    ratio = "" if theirs_s is None else f"{theirs_s / seconds:>14.0f}"
    print(f"{what:<42}{seconds:>9.2f}{seconds / SECONDS:>13.4f}{ratio}", flush=True)


if __name__ == "__main__":
    main()
