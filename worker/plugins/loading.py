"""From a name to a separator or tagger of another package, behind a guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from app.methods import Kind
from app.plugins import Plugin, installed
from models.separators import AnySeparator
from models.surroundings import Surroundings
from models.taggers import Tagger
from worker.errors import PluginUnusable
from worker.failures import is_expected
from worker.plugins.fit import Unfit, check_tagger, is_sound_separator
from worker.plugins.guards import GuardedSeparator, GuardedSoundSeparator, GuardedTagger

Guarded = TypeVar("Guarded")


def load_separator(name: str, surroundings: Surroundings) -> AnySeparator:
    """Return the separator that another package adds by this name.

    Raises
    ------
    PluginUnusable
        If none does, two do, or it cannot be loaded.
    ModelsError
        What the plugin raises of these, for instance `WeightsUnavailable`.
    """

    def guarded(plugin: Plugin, made: Any) -> AnySeparator:
        guard = GuardedSoundSeparator if is_sound_separator(made) else GuardedSeparator
        return guard(plugin, made, (load_separator, (name, surroundings)))

    return _load(Kind.SEPARATOR, name, surroundings, guarded)


def load_tagger(name: str, surroundings: Surroundings) -> Tagger:
    """Return the tagger that another package adds by this name. Errors as :func:`load_separator`."""

    def guarded(plugin: Plugin, made: Any) -> Tagger:
        check_tagger(made)
        return GuardedTagger(plugin, made, (load_tagger, (name, surroundings)))

    return _load(Kind.TAGGER, name, surroundings, guarded)


def _load(kind: Kind, name: str, surroundings: Surroundings, guarded: Callable[[Plugin, Any], Guarded]) -> Guarded:
    found = installed(kind)
    if name not in found.plugins:
        raise _unusable(
            kind,
            f"The worker that has the job cannot use the {kind} {name!r}: "
            + found.rejected.get(name, "no package that is installed there adds one of that name"),
        )
    plugin = found.plugins[name]
    try:
        return guarded(plugin, plugin.entry.load()(surroundings))
    except Unfit as error:
        raise _unusable(kind, f"The {plugin} cannot be used: {error}") from error
    # Whatever a module does when it is imported.
    except (Exception, SystemExit) as error:
        if is_expected(error):
            raise
        raise _unusable(kind, f"The {plugin} cannot be loaded on the server ({type(error).__name__})") from error


def _unusable(kind: Kind, what: str) -> PluginUnusable:
    return PluginUnusable(
        f"{what}. Choose another {kind}, or ask the server's operator to run `duetto doctor` where the worker runs."
    )
