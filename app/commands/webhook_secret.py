"""``duetto webhook-secret``: a new secret that webhooks are signed with, or the one of an API key's owner."""

from __future__ import annotations

import argparse
import sys

from app.errors import ConfigurationError
from app.settings import get_settings
from app.webhooks.signature import key_of, make_secret, parse_secrets, to_text

HELP = "Make a secret for DUETTO_WEBHOOK_SECRET, or show that of an API key's owner, who checks signatures with it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="the owner of an API key; shows theirs, by DUETTO_WEBHOOK_SECRET"
    )


def run(args: argparse.Namespace) -> int:
    """Print a secret to stdout, and to stderr what it is for. Nothing is stored.

    Raises
    ------
    ConfigurationError
        If an owner's is asked for and DUETTO_WEBHOOK_SECRET is not set, or none.
    """
    if args.name is None:
        _explain(
            "For the server and its workers: DUETTO_WEBHOOK_SECRET (in front of an older one, with a space between). "
            "Without API keys it is for those who check signatures too; with them, `duetto webhook-secret NAME` "
            "shows what is for whom:"
        )
        print(make_secret(), flush=True)
        return 0
    keys = parse_secrets(get_settings().webhook_secret)
    if not keys:
        raise ConfigurationError(
            f"the secret of {args.name} follows from the server's: set DUETTO_WEBHOOK_SECRET as the server has it"
        )
    _explain(f"For {args.name}, to check signatures with" + (", one for each of the server's:" if keys[1:] else ":"))
    for key in keys:
        print(to_text(key_of(key, args.name)), flush=True)
    return 0


def _explain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
