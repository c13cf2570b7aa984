"""Options that the training commands share."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

REPORT_FILE = "report.html"


def add_sound(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say what sound is learnt from."""
    sound = parser.add_argument_group("sound to learn from")
    sound.add_argument(
        "--sources",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help="public sources to fetch and make solos from: all (default), none, or names as in docs/data.md",
    )
    sound.add_argument(
        "--recordings",
        type=Path,
        metavar="DIR",
        help="single notes and performances to make solos from: DIR/<instrument>/<collection>/*",
    )
    sound.add_argument(
        "--solos",
        type=Path,
        metavar="DIR",
        help="solo recordings to learn from as they are: DIR/<instrument>/* or DIR/audios/solo/<instrument>/*",
    )
    sound.add_argument(
        "--minutes-per-class",
        type=positive_float,
        default=45.0,
        metavar="MIN",
        help="minutes of solos to make per instrument (default: %(default)s)",
    )


def add_run(parser: argparse.ArgumentParser, written: str) -> None:
    """Declare the options that say how a run is repeated, by how many cores, where it keeps its work, and where what is
    `written` goes."""
    parser.add_argument("--seed", type=not_negative_int, default=0, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes that factorise, and threads that train (default: the machine's cores)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=None,
        metavar="DIR",
        help="where sources and half-done work are kept (default: $DUETTO_CACHE_DIR, else the user's cache)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("weights"),
        metavar="DIR",
        help=f"where {written} written (default: ./%(default)s)",
    )


def add_report(parser: argparse.ArgumentParser) -> None:
    """Declare the option that says where the report goes."""
    parser.add_argument(
        "--report",
        type=Path,
        default=None,
        metavar="FILE",
        help="the report of the run: NAME.html, one file, or NAME.md with its pictures as PNG files beside it "
        f"(default: {REPORT_FILE} in --out)",
    )


def say(line: str) -> None:
    """Print a line at once, also where the output is a file."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def default_cache() -> Path:
    """Return $DUETTO_CACHE_DIR, else the user's cache."""
    if own := os.environ.get("DUETTO_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "duetto"


def positive_int(text: str) -> int:
    """Parse a whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def not_negative_int(text: str) -> int:
    """Parse a whole number from 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def positive_float(text: str) -> float:
    """Parse a finite number above 0."""
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def share(text: str) -> float:
    """Parse a number between 0 and 1."""
    value = float(text)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
