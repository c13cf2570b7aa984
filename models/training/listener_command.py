"""``duetto train listener``: learn which instruments sound, from mixtures of solos."""

from __future__ import annotations

import argparse

from models.training.options import add_run, add_sound, default_cache, positive_int, say

HELP = "learn the network that hears which instruments play"

LISTENER_FILE = "hearing.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``duetto train listener``."""
    add_sound(parser)
    parser.add_argument(
        "--examples",
        type=positive_int,
        default=100_000,
        metavar="N",
        help="mixtures of 5 s to learn from (default: %(default)s)",
    )
    parser.add_argument(
        "--held-out-origins",
        nargs="+",
        default=[],
        metavar="INSTRUMENT/ORIGIN",
        help="sources to measure on, for instance violin/garner (default: one of each instrument, by the seed)",
    )
    add_run(parser, f"{LISTENER_FILE} is")


def run(args: argparse.Namespace) -> None:
    """Train as `args` say; raises what :func:`models.training.listener.train_listener` does."""
    from models.training.listener import ListenerOptions, train_listener  # noqa: PLC0415 - torch only when training

    options = ListenerOptions(
        sources=tuple(args.sources),
        recordings=args.recordings,
        solos=args.solos,
        minutes_per_class=args.minutes_per_class,
        examples=args.examples,
        held_out_origins=tuple(args.held_out_origins),
        seed=args.seed,
        jobs=args.jobs,
        cache=args.cache or default_cache(),
        out_file=args.out / LISTENER_FILE,
    )
    train_listener(options, say)
