"""Separators by name: what turns a magnitude and two instrument names into a mask.

``report`` is the report's method to the letter, ``nmf`` the same idea at its best; ``auto`` is whichever
measures best (docs/benchmarks.md).
"""

from __future__ import annotations

from models.bases import BasesBank, load_default_bases
from models.separators.adaptive_nmf import AdaptiveNMF
from models.separators.guided_nmf import GuidedNMF
from models.separators.protocol import Separator

AUTO = "auto"
BEST = "nmf"
NAMES: tuple[str, ...] = ("nmf", "report")

__all__ = ["AUTO", "BEST", "NAMES", "AdaptiveNMF", "GuidedNMF", "Separator", "get_separator"]


def get_separator(name: str, bank: BasesBank | None = None) -> Separator:
    """Return the separator called `name` ("auto" for the best).

    Parameters
    ----------
    name : str
    bank : BasesBank, optional
        The bases it works with; those that ship with Duetto for this separator, if none are given.

    Raises
    ------
    ValueError
        If no separator has that name.
    InvalidBases
        If the shipped bases are missing or damaged.
    """
    wanted = BEST if name == AUTO else name
    if wanted == "nmf":
        return AdaptiveNMF(bank or load_default_bases("nmf"))
    if wanted == "report":
        return GuidedNMF(bank or load_default_bases("report"), name="report", beta=2.0)
    raise ValueError(f"no separator is called {name!r}; there are {', '.join((AUTO, *NAMES))}")
