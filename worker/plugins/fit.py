"""Whether what a plugin has made is a separator or a tagger: looked at once, before any work."""

from __future__ import annotations

import json
from typing import Any

from models.stft import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE


class Unfit(Exception):  # noqa: N818 - named for what it is
    """It is none; the message says what is wrong with it and what was wanted."""


def is_sound_separator(candidate: object) -> bool:
    """Return whether it works on sound, not on magnitudes.

    Raises
    ------
    Unfit
        If it is neither kind of separator.
    """
    if callable(getattr(candidate, "mask", None)):
        _check_span(candidate, "frames")
        return False
    if callable(getattr(candidate, "stem", None)):
        _check_span(candidate, "samples")
        _check_whole(candidate, "sample_rate", MIN_SAMPLE_RATE, MAX_SAMPLE_RATE)
        return True
    raise Unfit(f"{_kind(candidate)} has neither a method `mask` nor a method `stem`")


def check_tagger(candidate: object) -> None:
    """Return if it can be asked as a tagger is.

    Raises
    ------
    Unfit
        If a method is missing.
    """
    for name in ("prepare", "probabilities"):
        if not callable(getattr(candidate, name, None)):
            raise Unfit(f"{_kind(candidate)} has no method `{name}`")


def facts(candidate: object, name: str) -> dict[str, Any]:
    """Return a copy of an attribute that goes into the result document.

    Raises
    ------
    Unfit
        If there is none, or JSON cannot hold it.
    """
    found = getattr(candidate, name, None)
    if not isinstance(found, dict):
        raise Unfit(f"`{name}` of {_kind(candidate)} is {found!r:.60}; wanted is a dict, which may be empty")
    try:
        copied: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Unfit(f"`{name}` of {_kind(candidate)} cannot be written as JSON: {error}") from error
    return copied


def _check_span(candidate: object, unit: str) -> None:
    block = _check_whole(candidate, f"block_{unit}", 1, None)
    _check_whole(candidate, f"overlap_{unit}", 0, block)


def _check_whole(candidate: object, name: str, least: int, most: int | None) -> int:
    found = getattr(candidate, name, None)
    if type(found) is not int or found < least or (most is not None and found > most):
        wanted = f"from {least} to {most}" if most is not None else f"of {least} at least"
        raise Unfit(f"`{name}` of {_kind(candidate)} is {found!r:.60}; wanted is a whole number {wanted}")
    return found


def _kind(candidate: object) -> str:
    return type(candidate).__name__
