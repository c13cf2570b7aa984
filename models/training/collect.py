"""The solos that a training run learns from: the user's own, and those made from sources and recordings."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from models.errors import TrainingDataError
from models.instruments import NAMES
from models.training.gather import Credits, gather
from models.training.recordings import read_mono
from models.training.solos import SOLO_RECIPE, Solo, list_solos, make_solos
from models.training.sources import fingerprint, select_sources

Say = Callable[[str], None]

_OWN_SOLOS = "solos"


class SoloOptions(Protocol):
    """The options of a training run that say what it learns from."""

    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def recordings(self) -> Path | None: ...
    @property
    def solos(self) -> Path | None: ...
    @property
    def minutes_per_class(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def cache(self) -> Path: ...


def collect_solos(options: SoloOptions, say: Say) -> tuple[list[Solo], Credits]:
    """Return the solos, and whom to credit for them.

    Raises
    ------
    TrainingDataError
        If there are none, or one cannot be used.
    SourceUnavailable
        If a source cannot be fetched.
    """
    solos: list[Solo] = []
    credit: Credits = []
    if options.solos is not None:
        solos += list_solos(options.solos, _OWN_SOLOS)
        # A damaged file is better reported now than after an hour of factorising the others.
        for solo in solos:
            read_mono(solo.path)
        credit.append(
            {
                "name": _OWN_SOLOS,
                "licence": "not stated: supplied by whoever trained",
                "files": len(solos),
                "sha256": fingerprint(solo.path for solo in solos),
            }
        )
    sources = select_sources(options.sources)
    if sources or options.recordings is not None:
        palette, made_from = gather(sources, options.recordings, options.cache, say)
        credit += made_from
        folder = options.cache / "solos" / _solos_key(options, made_from)

        def tell(share: float, instrument: str) -> None:
            if share == 1.0:
                say(f"made the solos of {instrument}")

        solos += make_solos(palette, folder, options.minutes_per_class, options.seed, tell)
    if not solos:
        raise TrainingDataError("there is nothing to learn from: give --solos or --recordings, or choose --sources")
    return solos, credit


def say_balance(solos: list[Solo], say: Say) -> None:
    """Say how many solos of each instrument there are, by origin."""
    say(f"{'recordings':24}{'':>6}  origins")
    for name in NAMES:
        origins = Counter(solo.origin for solo in solos if solo.instrument == name)
        listed = ", ".join(f"{origin} {count}" for origin, count in sorted(origins.items()))
        say(f"{name:24}{sum(origins.values()):>6}  {listed or 'none: it will have no bases'}")


def _solos_key(options: SoloOptions, made_from: Credits) -> str:
    """Solos made from other sound, or otherwise, get a folder of their own."""
    recipe = {
        "recipe": SOLO_RECIPE,
        "seed": options.seed,
        "minutes": options.minutes_per_class,
        "from": [(source["name"], source["sha256"]) for source in made_from],
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
