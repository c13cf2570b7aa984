"""Looks at the separators and taggers that other packages add: loads each, which takes as long as it takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.doctor.finding import Finding, Findings, ok, problem
from app.errors import ConfigurationError
from app.methods import Kind
from app.plugins import Plugin, installed
from app.settings import Settings
from models.surroundings import Surroundings
from worker.device import device_of
from worker.plugins import load_separator, load_tagger

PLUGINS: Final = "plugins"
_LOAD: Final[dict[Kind, Callable[[str, Surroundings], object]]] = {
    Kind.SEPARATOR: load_separator,
    Kind.TAGGER: load_tagger,
}


def check_plugins(settings: Settings) -> Findings:
    """Look whether each can be loaded, and for names that are not free."""
    try:
        surroundings = Surroundings(device_of(settings).type, settings.cache_dir, settings.offline)
    except ConfigurationError:  # said by check_device
        surroundings = Surroundings("cpu", settings.cache_dir, settings.offline)
    for kind, load in _LOAD.items():
        for reason in installed(kind).rejected.values():
            yield problem(PLUGINS, reason)
        for plugin in installed(kind).plugins.values():
            yield _look(plugin, load, surroundings)
    if not any(found.plugins or found.rejected for found in map(installed, Kind)):
        yield ok(PLUGINS, "no other package adds a separator or a tagger")


def _look(plugin: Plugin, load: Callable[[str, Surroundings], object], surroundings: Surroundings) -> Finding:
    try:
        load(plugin.name, surroundings)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the plugin's
        cause = error.__cause__ or error
        return problem(PLUGINS, f"the {plugin} cannot be loaded ({type(cause).__name__}: {cause})")
    return ok(PLUGINS, f"the {plugin} can be loaded")
