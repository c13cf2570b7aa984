"""``python -m tests.bench``: run every benchmark and print its table. Nothing here is a test; no time is asserted.

Figures that are quoted, with machine and command, live in docs/benchmarks.md.
"""

from __future__ import annotations

import os
import platform
import sys

from tests.bench import bench_metrics, bench_nmf, bench_pipeline, bench_report, bench_startup


def main() -> int:
    """Run all; returns 0."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for bench in (bench_startup, bench_pipeline, bench_report, bench_metrics, bench_nmf):
        print((bench.__doc__ or "").splitlines()[0])
        bench.main()
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
