"""The options ``--separator`` and ``--tagger`` of commands that separate here, where plugins are installed or not."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable

from app.methods import Kind
from app.plugins import check_name


def method(kind: Kind) -> Callable[[str], str]:
    """Return what argparse asks whether there is a separator or tagger of a name."""

    def parse(name: str) -> str:
        try:
            return check_name(kind, name)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from None

    return parse
