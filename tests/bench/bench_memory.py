"""Peak memory of whole jobs on videos of 1 to 120 minutes: it must not grow. ``python -m tests.bench.bench_memory``.

Takes some minutes, so `make bench` leaves it out. A process for each job, as a worker's child that has run none before.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MINUTES = (1, 10, 60, 120)
KIB_PER_MIB = 1024


def measure(minutes: int) -> None:
    """Run the job in this process; print seconds, and peak memory of this and of the processes that decode."""
    # Only the measured process loads torch.
    from app.jobs.record import JobOptions  # noqa: PLC0415
    from app.settings import Settings  # noqa: PLC0415
    from tests.bench.looped import looped_duet  # noqa: PLC0415
    from worker.engines import Engines  # noqa: PLC0415
    from worker.media.limits import MediaLimits  # noqa: PLC0415
    from worker.pipeline import run_pipeline  # noqa: PLC0415
    from worker.source import Source  # noqa: PLC0415

    engines = Engines(Settings(tagger="efficientnet-lite2", offline=True))
    with tempfile.TemporaryDirectory() as folder:
        video = looped_duet(Path(folder) / "duet.mp4", 60.0 * minutes)
        output = Path(folder) / "stems"
        output.mkdir()
        began = time.perf_counter()
        run_pipeline(Source(video=video), output, JobOptions(), engines, MediaLimits(), pictures=True)
        seconds = time.perf_counter() - began
    peaks = [
        resource.getrusage(who).ru_maxrss / KIB_PER_MIB for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    print(f"{minutes:>7}{seconds:>9.1f}{seconds / (60 * minutes):>13.4f}{peaks[0]:>10.0f}{peaks[1]:>13.0f}", flush=True)


def main() -> None:
    """A process for each duration."""
    print(f"{'minutes':>7}{'seconds':>9}{'x real time':>13}{'peak MiB':>10}{'decoder MiB':>13}", flush=True)
    for minutes in MINUTES:
        subprocess.run([sys.executable, "-m", __spec__.name, str(minutes)], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
    else:
        main()
