"""``duetto train separator``: learn the network that corrects guided NMF, by mixing solos and separating them again."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.training.options import (
    REPORT_FILE,
    add_report,
    add_run,
    add_sound,
    default_cache,
    positive_int,
    say,
    share,
)

HELP = "learn the separator `learned` from mixes of solos"

SEPARATOR_FILE = "learned.safetensors"
_MIML_FILE = Path(__file__).parents[1] / "weights" / "miml.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``duetto train separator``."""
    add_sound(parser)
    parser.add_argument(
        "--held-out",
        type=share,
        default=0.15,
        metavar="SHARE",
        help="share of each source's recordings to measure on, never learnt from (default: %(default)s)",
    )
    parser.add_argument(
        "--held-out-origins",
        nargs="+",
        default=[],
        metavar="INSTRUMENT/ORIGIN",
        help="hold out whole sources instead, for instance violin/garner: a harder and more honest test",
    )
    parser.add_argument(
        "--clips", type=positive_int, default=8000, metavar="N", help="clips of 5.9 s to make (default: %(default)s)"
    )
    parser.add_argument(
        "--held-out-clips", type=positive_int, default=200, metavar="N", help="to measure on (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=positive_int, default=4000, metavar="N", help="batches of 12 clips (default: %(default)s)"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where to train (default: a GPU if there is one)",
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="FILE",
        help="go on from these weights, at half the learning rate, for instance with recordings of your own",
    )
    parser.add_argument(
        "--keep-of-start",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="keep weights so far back towards --start-from, for instance 0.5, which err less on sounds unlike those "
        "learnt from (default: 0)",
    )
    parser.add_argument(
        "--miml",
        type=Path,
        default=_MIML_FILE,
        metavar="FILE",
        help="the MIML network that chooses bases (default: the one that ships)",
    )
    add_run(parser, f"{SEPARATOR_FILE} is")
    add_report(parser)


def run(args: argparse.Namespace) -> None:
    """Train as `args` say; raises what :func:`models.training.separator.train_separator` does."""
    from models.training.separator import SeparatorOptions, train_separator  # noqa: PLC0415 - torch only when training

    options = SeparatorOptions(
        sources=tuple(args.sources),
        recordings=args.recordings,
        solos=args.solos,
        minutes_per_class=args.minutes_per_class,
        held_out=args.held_out,
        held_out_origins=tuple(args.held_out_origins),
        clips=args.clips,
        held_out_clips=args.held_out_clips,
        steps=args.steps,
        seed=args.seed,
        jobs=args.jobs,
        device=args.device,
        start_from=args.start_from,
        keep_of_start=args.keep_of_start,
        cache=args.cache or default_cache(),
        miml_file=args.miml,
        out_file=args.out / SEPARATOR_FILE,
        report_file=args.report or args.out / REPORT_FILE,
    )
    train_separator(options, say)
