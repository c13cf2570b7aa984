"""``duetto train``: learn the MIML network and the bases from solos, by the report's steps."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from models.errors import ModelsError

HELP = "learn bases and the MIML network from solo recordings"

BASES_FILE = "report-bases.safetensors"
COVERING_FILE = "nmf-bases.safetensors"
NETWORK_FILE = "miml.safetensors"
REPORT_FILE = "report.html"
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``duetto train``."""
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
        type=_positive_float,
        default=45.0,
        metavar="MIN",
        help="minutes of solos to make per instrument (default: %(default)s)",
    )
    parser.add_argument(
        "--held-out",
        type=_share,
        default=0.15,
        metavar="SHARE",
        help="share of the recordings to measure accuracy on, never learnt from (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs", type=_positive_int, default=250, metavar="N", help="passes over the segments (default: %(default)s)"
    )
    parser.add_argument(
        "--keep", type=_positive_int, default=400, metavar="N", help="bases per instrument (default: %(default)s)"
    )
    parser.add_argument(
        "--keep-covering",
        type=_positive_int,
        default=800,
        metavar="N",
        help="bases per instrument of the separator nmf, chosen for coverage (default: %(default)s)",
    )
    parser.add_argument("--seed", type=_not_negative_int, default=0, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--jobs",
        type=_positive_int,
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
        help=f"where {BASES_FILE}, {COVERING_FILE} and {NETWORK_FILE} are written (default: ./%(default)s)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=None,
        metavar="FILE",
        help="the report of the run: NAME.html, one file, or NAME.md with its pictures as PNG files beside it "
        f"(default: {REPORT_FILE} in --out)",
    )


def run(args: argparse.Namespace) -> int:
    """Train as `args` say. Returns 0, 2 for unusable input, 130 when interrupted.

    A run that was interrupted, or failed, has written nothing to ``--out``; the same command goes on
    from what the cache holds.
    """
    from models.training.pipeline import TrainingOptions, train  # noqa: PLC0415 - torch only when training

    options = TrainingOptions(
        sources=tuple(args.sources),
        recordings=args.recordings,
        solos=args.solos,
        minutes_per_class=args.minutes_per_class,
        held_out=args.held_out,
        epochs=args.epochs,
        keep=args.keep,
        keep_covering=args.keep_covering,
        seed=args.seed,
        jobs=args.jobs,
        cache=args.cache or _default_cache(),
        bases_file=args.out / BASES_FILE,
        covering_file=args.out / COVERING_FILE,
        network_file=args.out / NETWORK_FILE,
        report_file=args.report or args.out / REPORT_FILE,
    )
    try:
        train(options, _say)
    except ModelsError as error:
        sys.stderr.write(f"duetto train: {error}\n")
        return EXIT_BAD_INPUT
    except OSError as error:
        sys.stderr.write(f"duetto train: {error.strerror or error}: check --cache, --out and the space on the disk\n")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("duetto train: stopped; the same command goes on from here\n")
        return EXIT_INTERRUPTED
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _default_cache() -> Path:
    if own := os.environ.get("DUETTO_CACHE_DIR"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "duetto"


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def _not_negative_int(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
