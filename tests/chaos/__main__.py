"""``python -m tests.chaos --rounds N --seed S``: kill, recover, check, print. Exit code 1 if anything was lost.

`make chaos` runs 200 rounds. The folder with data and logs is kept where something is wrong.
"""

from __future__ import annotations

import argparse
import logging
import math
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.run import Outcome, run_chaos

MOST_FAULTS_SHOWN = 30


def main() -> int:
    """Run and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="how often to kill (default: 200)")
    parser.add_argument("--seed", type=int, help="repeats the order of kills and uploads (default: a new one)")
    args = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if args.seed is None else args.seed
    print(f"seed {seed}, {args.rounds} rounds", flush=True)
    # The supervisors' warnings say what every round is about.
    logging.getLogger("app.supervisor").setLevel(logging.ERROR)
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {line}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="duetto-chaos-"))
    try:
        outcome = run_chaos(folder, args.rounds, seed, tell)
    except BaseException:
        print(f"seed {seed}: the run broke off; data and logs are in {folder}", flush=True)
        raise
    show(outcome)
    if outcome.faults:
        print(f"data and logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def show(outcome: Outcome) -> None:
    """Print what a run showed."""
    jobs = sum(outcome.ends.values())
    print(f"\nseed {outcome.seed}: {len(outcome.rounds)} rounds, {jobs} jobs, {outcome.took_s:.0f} s")
    print(f"{'killed':<22}{'rounds':>7}   processes back after, s: {_HEAD}")
    for name, times in outcome.back_s.items():
        print(f"  {name:<20}{len(times):>7}{'':>27}{_percentiles(times)}")
    print(f"jobs whose process was killed: {len(outcome.recovery_s)}")
    print(f"  next attempt or end after, s:                         {_percentiles(outcome.recovery_s)}")
    print(f"  from 202 to the end, all jobs, s:                     {_percentiles(outcome.job_s)}")
    print(f"ended: {_counts(outcome.ends)}")
    print(f"answers (0: the connection broke): {_counts(outcome.answers)}")
    print(f"uploads cut off by a killed API, and swept: {outcome.cut_off}")
    for fault in outcome.faults[:MOST_FAULTS_SHOWN]:
        print(f"FAULT  {fault}")
    print(f"verdict: {f'{len(outcome.faults)} faults' if outcome.faults else 'nothing lost, twice or left behind'}")


def _counts(counter: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in sorted(counter.items()))


_HEAD = f"{'p50':>7}{'p90':>7}{'p99':>7}{'max':>7}"


def _percentiles(times: Sequence[float]) -> str:
    """Four columns, by the nearest rank."""
    if not times:
        return f"{'-':>7}" * 4
    ranks = [times[max(0, math.ceil(share * len(times)) - 1)] for share in (0.5, 0.9, 0.99, 1.0)]
    return "".join(f"{seconds:>7.1f}" for seconds in ranks)


if __name__ == "__main__":
    sys.exit(main())
