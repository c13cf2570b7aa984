"""How long the web process takes to start: importing and creating the app, in fresh interpreters.

python tests/bench/bench_startup.py [RUNS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET_S = 1.0
DEFAULT_RUNS = 5
SLOWEST_SHOWN = 8
PROGRAM = """
import time
begin = time.perf_counter()
from app.main import create_app
from app.settings import Settings
imported = time.perf_counter()
create_app(Settings(redis_url="redis://localhost:6379/0"))
print(imported - begin, time.perf_counter() - imported)
"""


def _run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", PROGRAM]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)


def main() -> None:
    """Print the median time to import and to create the app, and the slowest imports."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_RUNS
    times = [tuple(map(float, _run().stdout.split())) for _ in range(runs)]
    imports, creates = (statistics.median(column) for column in zip(*times, strict=True))
    total = statistics.median(sum(pair) for pair in times)
    print(f"import {imports:.3f} s, create {creates:.3f} s, together {total:.3f} s (target {TARGET_S} s, {runs} runs)")
    lines = [line.split("|") for line in _run("-X", "importtime").stderr.splitlines() if line.count("|") == 2]
    entries = [(int(cells[1]), cells[2].strip()) for cells in lines if cells[1].strip().isdigit()]
    print("slowest imports, with what they import:")
    for microseconds, name in sorted(entries, reverse=True)[:SLOWEST_SHOWN]:
        print(f"  {microseconds / 1e6:6.3f} s  {name}")


if __name__ == "__main__":
    main()
