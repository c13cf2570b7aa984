"""``duetto key NAME``: a new API key, and the entry by which a server knows it."""

from __future__ import annotations

import argparse
import sys

from app.keys import NAME_RULE, make_entry, make_key

HELP = "Make an API key for someone, and the entry for DUETTO_API_KEYS that lets a server know it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", metavar="NAME", help=f"whose key it is; {NAME_RULE}")


def run(args: argparse.Namespace) -> int:
    """Print a key and its entry. Nothing is stored.

    The two go to stdout, a line each, so that a script can read them; the explanation goes to stderr.

    Raises
    ------
    ConfigurationError
        If the name cannot be used.
    """
    key = make_key()
    entry = make_entry(args.name, key)
    sys.stderr.write("The key, for its owner; it is shown this once (clients: DUETTO_API_KEY, or --key):\n")
    sys.stderr.flush()
    print(key, flush=True)
    sys.stderr.write("Its entry, for the server; add it to DUETTO_API_KEYS, with a comma after those there are:\n")
    sys.stderr.flush()
    print(entry, flush=True)
    return 0
