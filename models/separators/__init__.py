"""Separators by name: what turns a magnitude and two instrument names into a mask.

``report`` is the report's method to the letter; ``auto`` is whichever measures best, today the same.
"""

from __future__ import annotations

from models.bases import BasesBank
from models.separators.guided_nmf import GuidedNMF
from models.separators.protocol import Separator

AUTO = "auto"
BEST = "report"
NAMES: tuple[str, ...] = ("report",)

__all__ = ["AUTO", "BEST", "NAMES", "GuidedNMF", "Separator", "get_separator"]


def get_separator(name: str, bank: BasesBank) -> Separator:
    """Return the separator called `name` ("auto" for the best), working with the bases in `bank`.

    Raises
    ------
    ValueError
        If no separator has that name.
    """
    wanted = BEST if name == AUTO else name
    if wanted == "report":
        return GuidedNMF(bank, name="report", beta=2.0)
    raise ValueError(f"no separator is called {name!r}; there are {', '.join((AUTO, *NAMES))}")
