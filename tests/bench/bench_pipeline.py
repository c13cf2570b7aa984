"""What each stage costs on the example duet: seconds, x real time, peak memory. Models warm."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.jobs.record import JobOptions
from app.jobs.states import Stage
from app.settings import Settings
from worker.engines import Engines
from worker.example_duet import example_duet
from worker.media.limits import MediaLimits
from worker.pipeline import run_pipeline
from worker.source import Source

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


def run(engines: Engines, tagger: str) -> tuple[Meter, float]:
    """One job; returns what it cost and the recording's length in seconds."""
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder, meter.watching():
        result = run_pipeline(
            Source(video=example_duet().video), Path(folder), JobOptions(tagger=tagger), engines, MediaLimits(),
            report=meter.report,
        )  # fmt: skip
    return meter, float(result["sound"]["duration_s"])


def main() -> None:
    """Print the table, the best of three runs."""
    settings = Settings(offline=True)
    engines = Engines(settings)
    tagger = engines.tagger("auto").name
    run(engines, tagger)
    runs = [run(engines, tagger) for _ in range(3)]
    best, duration = min(runs, key=lambda one: sum(one[0].seconds.values()))
    print(f"{duration:.1f} s of sound, tagger {tagger}, separator {engines.separator('auto').name}")
    print(f"{'stage':<10}{'seconds':>9}{'x real time':>13}{'peak MiB':>10}")
    rows = [(str(stage), best.seconds[stage], best.peak[stage]) for stage in Stage]
    for name, seconds, peak in (*rows, ("all", sum(best.seconds.values()), max(best.peak.values()))):
        print(f"{name:<10}{seconds:>9.3f}{seconds / duration:>13.4f}{peak / MIB:>10.0f}")


if __name__ == "__main__":
    main()
