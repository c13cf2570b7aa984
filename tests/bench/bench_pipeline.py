"""A 60 s duet of 640 x 360: what each stage costs, and the whole job through HTTP (target 6 s). Models warm."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duetto
from app.jobs.record import JobOptions
from app.jobs.states import Stage
from app.settings import Settings
from app.stack import running_stack
from models import parallel
from tests.bench.looped import looped_duet
from worker.engines import Engines
from worker.media.limits import MediaLimits
from worker.pipeline import run_pipeline
from worker.source import Source

SECONDS = 60.0
RUNS = 3
TAGGER = "efficientnet-lite2"
SAMPLE_EVERY_S = 0.005
MIB = 1 << 20


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


class Meter:
    """Seconds and peak memory by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(Stage, 0.0)
        self.peak = dict.fromkeys(Stage, 0)
        self._stage = Stage.PROBE
        self._since = time.perf_counter()
        self._running = True

    def report(self, stage: Stage, _fraction: float) -> None:
        """What the pipeline calls."""
        now = time.perf_counter()
        self.seconds[self._stage] += now - self._since
        self._stage, self._since = stage, now

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sample memory while the body runs."""
        self._since = time.perf_counter()
        thread = threading.Thread(target=self._sample)
        thread.start()
        try:
            yield
        finally:
            self.report(self._stage, 1.0)
            self._running = False
            thread.join()

    def _sample(self) -> None:
        while self._running:
            self.peak[self._stage] = max(self.peak[self._stage], resident_bytes())
            time.sleep(SAMPLE_EVERY_S)


def run(engines: Engines, video: Path) -> Meter:
    """One job; returns what it cost."""
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder, meter.watching():
        run_pipeline(
            Source(video=video), Path(folder), JobOptions(), engines, MediaLimits(), report=meter.report, pictures=True
        )
    return meter


def through_http(video: Path, folder: Path) -> float:
    """Seconds from the upload's beginning to the job's end, the best of some; a worker of its own, models warm."""
    settings = Settings(data_dir=folder, port=0, redis_url=None, tagger=TAGGER, offline=True)
    times = []
    with running_stack(settings) as stack, duetto.Client(stack.url) as client:
        for _ in range(1 + RUNS):
            begin = time.perf_counter()
            client.wait(client.submit(video))
            times.append(time.perf_counter() - begin)
    return min(times[1:])


def main() -> None:
    """Print the table, the best of some runs."""
    engines = Engines(Settings(tagger=TAGGER, offline=True))
    with tempfile.TemporaryDirectory() as folder:
        video = looped_duet(Path(folder) / "duet.mp4", SECONDS)
        run(engines, video)
        best = min((run(engines, video) for _ in range(RUNS)), key=lambda one: sum(one.seconds.values()))
        print(f"tagger {TAGGER}, separator {engines.separator('auto').name}, {parallel.threads()} threads")
        print(f"{'stage':<10}{'seconds':>9}{'x real time':>13}{'peak MiB':>10}")
        rows = [(str(stage), best.seconds[stage], best.peak[stage]) for stage in Stage]
        for name, seconds, peak in (*rows, ("all", sum(best.seconds.values()), max(best.peak.values()))):
            print(f"{name:<10}{seconds:>9.3f}{seconds / SECONDS:>13.4f}{peak / MIB:>10.0f}")
        seconds = through_http(video, Path(folder) / "service")
        print(f"{'HTTP':<10}{seconds:>9.3f}{seconds / SECONDS:>13.4f}")


if __name__ == "__main__":
    main()
