"""``duetto train``: learn the MIML network and the bases by the report's steps, a separator, or a listener."""

from __future__ import annotations

import argparse
import sys

from models.errors import ModelsError
from models.training import listener_command, separator_command
from models.training.options import REPORT_FILE, add_report, add_run, add_sound, default_cache, positive_int, say, share

HELP = "learn bases and the MIML network from solo recordings"

BASES_FILE = "report-bases.safetensors"
COVERING_FILE = "nmf-bases.safetensors"
NETWORK_FILE = "miml.safetensors"
_PARTS = {"separator": separator_command, "listener": listener_command}
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``duetto train``, and those of ``duetto train separator`` and ``listener``."""
    parts = parser.add_subparsers(dest="what", metavar="separator, listener")
    for name, part in _PARTS.items():
        part.add_arguments(parts.add_parser(name, help=part.HELP, description=part.HELP.capitalize() + "."))
    add_sound(parser)
    parser.add_argument(
        "--held-out",
        type=share,
        default=0.15,
        metavar="SHARE",
        help="share of the recordings to measure accuracy on, never learnt from (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs", type=positive_int, default=250, metavar="N", help="passes over the segments (default: %(default)s)"
    )
    parser.add_argument(
        "--keep", type=positive_int, default=400, metavar="N", help="bases per instrument (default: %(default)s)"
    )
    parser.add_argument(
        "--keep-covering",
        type=positive_int,
        default=800,
        metavar="N",
        help="bases per instrument of the separator nmf, chosen for coverage (default: %(default)s)",
    )
    add_run(parser, f"{BASES_FILE}, {COVERING_FILE} and {NETWORK_FILE} are")
    add_report(parser)


def run(args: argparse.Namespace) -> int:
    """Train as `args` say: what guided NMF needs, the learned separator, or the listener. Returns 0, 2 for unusable
    input, 130 when interrupted.

    A run that was interrupted, or failed, has written nothing to ``--out``; the same command goes on
    from what the cache holds.
    """
    try:
        if args.what is None:
            _train_bases(args)
        else:
            _PARTS[args.what].run(args)
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


def _train_bases(args: argparse.Namespace) -> None:
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
        cache=args.cache or default_cache(),
        bases_file=args.out / BASES_FILE,
        covering_file=args.out / COVERING_FILE,
        network_file=args.out / NETWORK_FILE,
        report_file=args.report or args.out / REPORT_FILE,
    )
    train(options, say)
