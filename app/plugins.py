"""Separators and taggers that other packages add, by entry points of the groups ``duetto.separators`` and
``duetto.taggers``.

They are found by name; nothing of them is imported here. Only a worker loads one (worker/plugins/), when a job asks
for it. docs/plugins.md says how to write one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from app.methods import BUILT_IN, NAME_PATTERN, Kind


@dataclass(frozen=True, slots=True)
class Plugin:
    """A separator or tagger of another package; `package` and `version` are those of its distribution."""

    kind: Kind
    name: str
    package: str
    version: str
    entry: EntryPoint

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.package} {self.version}"


@dataclass(frozen=True, slots=True)
class Installed:
    """What is installed beside this process: plugins by name, and names that cannot be used, each with the reason."""

    plugins: Mapping[str, Plugin]
    rejected: Mapping[str, str]


@cache
def installed(kind: Kind) -> Installed:
    """Return what other packages add, as it was when this process asked first."""
    found: defaultdict[str, list[Plugin]] = defaultdict(list)
    for entry in entry_points(group=f"duetto.{kind}s"):
        if entry.dist is not None:  # one that was found by searching always has a distribution
            found[entry.name].append(Plugin(kind, entry.name, entry.dist.name, entry.dist.version, entry))
    rejected = {name: reason for name, plugins in found.items() if (reason := _fault(kind, name, plugins))}
    return Installed({name: plugins[0] for name, plugins in sorted(found.items()) if name not in rejected}, rejected)


def names(kind: Kind) -> tuple[str, ...]:
    """Return "auto", Duetto's own, and those of plugins that are installed here."""
    return (*BUILT_IN[kind], *installed(kind).plugins)


def check_name(kind: Kind, name: str, elsewhere: Iterable[str] = ()) -> str:
    """Return `name`, if there is a separator or tagger of that name here, or `elsewhere`.

    Raises
    ------
    ValueError
        If there is none; the message names those there are, or why this one cannot be used.
    """
    known = tuple(dict.fromkeys((*names(kind), *elsewhere)))
    if name in known:
        return name
    reason = installed(kind).rejected.get(name) or f"it is one of {', '.join(known)}"
    raise ValueError(f"there is no {name[:40]!r}; {reason}")


def _fault(kind: Kind, name: str, plugins: list[Plugin]) -> str | None:
    """Why a name cannot be used, or nothing."""
    packages = " and ".join(sorted(f"{plugin.package} {plugin.version}" for plugin in plugins))
    if name in BUILT_IN[kind]:
        return f"{packages} adds a {kind} of the name {name!r}, which is Duetto's own: theirs is left out"
    if not re.fullmatch(NAME_PATTERN, name):
        return f"{packages} adds a {kind} of the name {name[:60]!r}; wanted is a letter, then a-z, 0-9 or -, 40 in all"
    if len(plugins) > 1:
        return f"{packages} each add a {kind} of the name {name!r}, so neither is used: uninstall one"
    return None
