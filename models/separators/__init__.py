"""Separators by name: what turns a magnitude and two instrument names into a mask.

``report`` is the report's method to the letter, ``nmf`` the same idea at its best, ``learned`` that corrected by a
network; ``auto`` is whichever measures best (docs/benchmarks.md). ``position``, for two players of one instrument, has
no name to be asked for by: it is made for one recording (:class:`ByPosition`).
"""

from __future__ import annotations

from pathlib import Path

from models.bases import WEIGHTS, BasesBank, load_default_bases
from models.device import CPU, resolve_device
from models.refiner import load_default_refiner
from models.separators.adaptive_nmf import AdaptiveNMF
from models.separators.guided_nmf import GuidedNMF
from models.separators.learned import Learned
from models.separators.position import ByPosition
from models.separators.protocol import AnySeparator, Separator, SoundSeparator

AUTO = "auto"
BEST = "learned"
NAMES: tuple[str, ...] = ("learned", "nmf", "report")
WEIGHTS_OF: dict[str, tuple[Path, ...]] = {
    "learned": (WEIGHTS / "nmf-bases.safetensors", WEIGHTS / "learned.safetensors"),
    "nmf": (WEIGHTS / "nmf-bases.safetensors",),
    "report": (WEIGHTS / "report-bases.safetensors",),
}
"""The files that each needs."""

__all__ = [
    "AUTO", "BEST", "NAMES", "WEIGHTS_OF", "AdaptiveNMF", "AnySeparator", "ByPosition", "GuidedNMF", "Learned",
    "Separator", "SoundSeparator", "get_separator",
]  # fmt: skip


def get_separator(name: str, bank: BasesBank | None = None, device: str = CPU) -> Separator:
    """Return the separator called `name` ("auto" for the best).

    Parameters
    ----------
    name : str
    bank : BasesBank, optional
        The bases it works with; those that ship with Duetto for this separator, if none are given.
    device : str
        As :func:`models.device.resolve_device` takes it. The report's method runs on the CPU whatever it says.

    Raises
    ------
    ValueError
        If no separator, or no device, has that name.
    DeviceUnavailable
        If the device is not there.
    InvalidBases
        If the shipped bases, or the shipped network, are missing or damaged.
    """
    wanted = BEST if name == AUTO else name
    if wanted in ("learned", "nmf"):
        guided = AdaptiveNMF(bank or load_default_bases("nmf"), device=resolve_device(device))
        return Learned(guided, *load_default_refiner()) if wanted == "learned" else guided
    if wanted == "report":
        return GuidedNMF(bank or load_default_bases("report"), name="report", beta=2.0)
    raise ValueError(f"no separator is called {name!r}; there are {', '.join((AUTO, *NAMES))}")
