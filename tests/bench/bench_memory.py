"""Peak memory of separating 1, 10 and 60 minutes of sound: it must not grow. ``python -m tests.bench.bench_memory``.

Takes some minutes, so `make bench` leaves it out.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MINUTES = (1, 10, 60)
RATE = 44_100
KIB_PER_MIB = 1024


def sound(minutes: int) -> Iterator[NDArray[np.float32]]:
    """Noise, a second at a time."""
    rng = np.random.default_rng(0)
    for _ in range(60 * minutes):
        yield (0.1 * rng.standard_normal((1, RATE))).astype(np.float32)


def measure(minutes: int) -> None:
    """Separate in this process; print seconds and peak memory."""
    from models.separation import separate_blocks  # noqa: PLC0415 - only the measured process loads torch
    from models.separators import get_separator  # noqa: PLC0415

    separator = get_separator("auto")
    began = time.perf_counter()
    samples = sum(left.shape[1] for left, _ in separate_blocks(sound(minutes), RATE, 1, separator, "violin", "cello"))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB
    print(f"{minutes:>7}{seconds:>9.1f}{seconds / (samples / RATE):>13.4f}{peak:>10.0f}", flush=True)


def main() -> None:
    """A process for each duration."""
    print(f"{'minutes':>7}{'seconds':>9}{'x real time':>13}{'peak MiB':>10}", flush=True)
    for minutes in MINUTES:
        subprocess.run([sys.executable, "-m", __spec__.name, str(minutes)], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
    else:
        main()
