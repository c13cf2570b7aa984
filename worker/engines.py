"""The models of this worker process: read once, used by every job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache

from app.methods import BUILT_IN, Kind
from app.settings import Settings
from models import parallel, separators, taggers
from models.hearing import Listener, load_listener
from models.separators import AnySeparator
from models.surroundings import Surroundings
from models.taggers import Tagger
from worker import plugins
from worker.device import device_of

logger = logging.getLogger(__name__)


class Engines:
    """Separators and taggers by name, loaded at first use, or by `warm` before that, and kept.

    A prefork worker makes one in each child, never in the parent: threads of linear algebra that were
    started before a fork hang after it.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigurationError` if the device of the settings is not there."""
        self._settings = settings
        self._separators: dict[str, AnySeparator] = {}
        self._taggers: dict[str, Tagger] = {}
        # So that a job which comes while they are loaded waits, instead of loading them once more.
        self._loading = threading.RLock()
        parallel.set_threads(settings.threads_per_job)
        self.surroundings = Surroundings(device_of(settings).type, settings.cache_dir, settings.offline)

    def separator(self, name: str) -> AnySeparator:
        """Return the separator of that name; "auto" is the operator's default, then the best.

        Raises
        ------
        InvalidBases
            If the bases that ship for it are missing or damaged.
        PluginUnusable
            If it is neither Duetto's nor that of a package that works here.
        """
        wanted = self._settings.separator if name == "auto" else name
        with self._loading:
            if wanted not in self._separators:
                if wanted in BUILT_IN[Kind.SEPARATOR]:
                    self._separators[wanted] = separators.get_separator(wanted, device=self.surroundings.device)
                else:
                    self._separators[wanted] = plugins.load_separator(wanted, self.surroundings)
            return self._separators[wanted]

    def tagger(self, name: str) -> Tagger:
        """Return the tagger of that name; "auto" is the operator's default, then the best that can be had.

        Raises
        ------
        WeightsUnavailable
            If its weights are neither here nor to be had.
        PluginUnusable
            As for a separator.
        """
        wanted = self._settings.tagger if name == "auto" else name
        with self._loading:
            if wanted not in self._taggers:
                if wanted in BUILT_IN[Kind.TAGGER]:
                    self._taggers[wanted] = self._network(wanted)
                else:
                    self._taggers[wanted] = plugins.load_tagger(wanted, self.surroundings)
            return self._taggers[wanted]

    def listener(self) -> Listener:
        """Return the sound network.

        Raises
        ------
        InvalidBases
            If its weights are missing or damaged.
        """
        with self._loading:
            return load_listener()

    def warm(self) -> None:
        """Load what jobs use that ask for nothing else. What cannot be loaded, the first job that needs it says."""
        loads: tuple[Callable[[], object], ...] = (
            self.listener,
            lambda: self.separator("auto"),
            lambda: self.tagger("auto"),
        )
        for load in loads:
            try:
                load()
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises
                logger.info("not loaded ahead: %s", error)

    def _network(self, name: str) -> Tagger:
        named = self._settings.densenet161_weights
        return taggers.load_tagger(
            name,
            weights={"densenet161": named} if named else None,
            cache_dir=self.surroundings.cache_dir,
            offline=self.surroundings.offline,
            device=self.surroundings.device,
        )


@cache
def engines_of(settings: Settings) -> Engines:
    """Return this process's engines for these settings, made once."""
    return Engines(settings)
