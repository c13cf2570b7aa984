"""The models of this worker process: read once, used by every job."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

from app.settings import Settings
from models.separators import Separator, get_separator
from models.taggers import load_tagger
from worker.device import device_of

if TYPE_CHECKING:
    from models.taggers.network import NetworkTagger


class Engines:
    """Separators and taggers by name, loaded at first use and kept.

    A prefork worker makes one in each child, never in the parent: threads of linear algebra that were
    started before a fork hang after it.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigurationError` if the device of the settings is not there."""
        self._settings = settings
        self._separators: dict[str, Separator] = {}
        self._taggers: dict[str, NetworkTagger] = {}
        # The environment variables of OpenMP are read at its import; this is for those it came too late for.
        torch.set_num_threads(settings.threads_per_job)
        self._device = device_of(settings).type

    def separator(self, name: str) -> Separator:
        """Return the separator of that name; "auto" is the operator's default, then the best.

        Raises
        ------
        InvalidBases
            If the bases that ship for it are missing or damaged.
        """
        wanted = self._settings.separator if name == "auto" else name
        if wanted not in self._separators:
            self._separators[wanted] = get_separator(wanted)
        return self._separators[wanted]

    def tagger(self, name: str) -> NetworkTagger:
        """Return the tagger of that name; "auto" is the operator's default, then the best that can be had.

        Raises
        ------
        WeightsUnavailable
            If its weights are neither here nor to be had.
        """
        wanted = self._settings.tagger if name == "auto" else name
        if wanted not in self._taggers:
            named = self._settings.densenet161_weights
            self._taggers[wanted] = load_tagger(
                wanted,
                weights={"densenet161": named} if named else None,
                cache_dir=self._settings.cache_dir,
                offline=self._settings.offline,
                device=self._device,
            )
        return self._taggers[wanted]


@cache
def engines_of(settings: Settings) -> Engines:
    """Return this process's engines for these settings, made once."""
    return Engines(settings)
