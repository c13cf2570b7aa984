"""What the result says of how clean each stem is: the likely SDR, what that means, and a warning where it is low.

SDR is the energy of what a stem has of its player over the energy of what does not belong there. It can only be
known from the true stems; what is said here is the estimate of :mod:`models.certainty`.
"""

from __future__ import annotations

from typing import Any

from models.certainty import POOR_DB, WARNED_DB, Estimates

_MEANINGS = (
    (12.0, "clean: little but {} is heard"),
    (6.0, "fair: the other player is heard faintly behind {}"),
    (POOR_DB, "rough: the other player is heard clearly beside {}"),
    (-float("inf"), "poor: much of what is heard does not belong to {}, or much of it is missing"),
)


def quality(estimates: Estimates | None, left: str, right: str) -> dict[str, Any] | None:
    """Return what the result says of the two stems of these players; None if nothing is known."""
    if estimates is None:
        return None
    return {
        side: {"likely_sdr_db": round(likely, 1), "meaning": _meaning(likely).format(f"the {_spoken(name)}")}
        for side, likely, name in (("left", estimates[0], left), ("right", estimates[1], right))
    }


def quality_warnings(estimates: Estimates | None, left: str, right: str) -> list[str]:
    """Return a sentence for each stem that is poor more likely than not."""
    if estimates is None:
        return []
    return [
        f"The {side} stem ({_spoken(name)}) is likely poor: an SDR of about {likely:z.0f} dB. At 0 dB as much of it is "
        "wrong as is right, at 10 dB a tenth. Listen before you use it; if a player is named wrongly, name both sides."
        for side, likely, name in (("left", estimates[0], left), ("right", estimates[1], right))
        if likely < WARNED_DB
    ]


def _meaning(likely: float) -> str:
    return next(text for least, text in _MEANINGS if likely >= least)


def _spoken(name: str) -> str:
    return name.replace("_", " ")
