"""``python -m tests.fuzz [--cases N] [--seed S] [--case K]``: damaged and hostile uploads against a real service.

Prints what became of them, and each fault with the number of its case; ends with 1 if there is any. A case depends on
seed and number alone: ``--seed S --case K`` runs it again by itself, and with ``--keep FOLDER`` writes its bytes.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.fuzz.campaign import API_LIMIT_MIB, WORKER_LIMIT_MIB, Report, Verdict, fuzz_settings, run_campaign
from tests.fuzz.plan import digest, make_case
from tests.fuzz.service import running_service

CASES = 5_000
SLOWEST_SHOWN = 10
TOLD_EVERY = 100
LOG_LINES_SHOWN = 40


def main() -> int:
    """Run; returns 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cases", type=int, default=CASES, help=f"how many to send (default: {CASES})")
    parser.add_argument("--seed", type=int, default=None, help="of the run (default: another each time)")
    parser.add_argument("--case", type=int, default=None, metavar="K", help="send case K of the seed alone")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="begin with case K")
    parser.add_argument("--workers", type=int, default=2, help="children of the worker (default: 2)")
    parser.add_argument("--keep", type=Path, default=None, metavar="FOLDER", help="with --case: write its bytes there")
    args = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if args.seed is None else args.seed
    numbers = range(args.first, args.first + args.cases) if args.case is None else [args.case]
    print(f"seed {seed}, cases {numbers[0]} to {numbers[-1]}", flush=True)
    if args.case is not None:
        _show(seed, args.case, args.keep)
    done = 0

    def tell(verdict: Verdict) -> None:
        nonlocal done
        done += 1
        for fault in verdict.faults:
            print(f"FAULT case {verdict.number} ({verdict.name}): {fault}", flush=True)
        if done % TOLD_EVERY == 0:
            print(f"{done} done", flush=True)

    with tempfile.TemporaryDirectory(prefix="duetto-fuzz-") as folder:
        settings = fuzz_settings(Path(folder), workers=args.workers)
        with running_service(settings) as service:
            report = run_campaign(service, seed, numbers, told=tell)
            log = service.worker_log.read_text(encoding="utf-8", errors="replace")
    _print(report)
    unexpected = [line for line in log.splitlines() if "unexpected failure" in line or "Traceback" in line]
    if report.all_faults and unexpected:
        print(f"the worker's log ends:\n{chr(10).join(log.splitlines()[-LOG_LINES_SHOWN:])}")
    return 1 if report.all_faults else 0


def _show(seed: int, number: int, folder: Path | None) -> None:
    case = make_case(seed, number)
    print(f"{case.name}; digest {digest(case)}; right outcomes: {', '.join(sorted(case.expected)) or 'any clear one'}")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{seed}-{number}.http"
        path.write_bytes(b"".join(fragment.data for fragment in case.fragments))
        print(f"its bytes (repetitions once): {path}")


def _print(report: Report) -> None:
    print(f"\n| outcome | of {len(report.verdicts)} |\n|---|---|")
    for outcome, count in sorted(report.outcomes.items()):
        print(f"| {outcome} | {count} |")
    print("\n| slowest | seconds | outcome |\n|---|---|---|")
    for verdict in sorted(report.verdicts, key=lambda verdict: -verdict.seconds)[:SLOWEST_SHOWN]:
        print(f"| {verdict.number}: {verdict.name} | {verdict.seconds:.1f} | {verdict.outcome} |")
    api, worker = report.peaks_mib
    print(f"\n{report.seconds:.0f} s; at most {api:.0f} MiB in the API (limit {API_LIMIT_MIB:.0f}), ", end="")
    print(f"{worker:.0f} MiB in the worker's processes (limit {WORKER_LIMIT_MIB:.0f})")
    for fault in report.all_faults:
        print(f"FAULT {fault}")
    print(f"seed {report.seed}: {len(report.all_faults)} faults")


if __name__ == "__main__":
    sys.exit(main())
