"""A picture of what was seen or heard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from duetto._errors import InvalidAnswer
from duetto._folder import Folder

PICTURES: Final = "pictures"
# Becomes part of a file's name, so nothing that could lead out of a folder.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG.

    Attributes
    ----------
    name : str
        ``frame``, ``probabilities``, ``mix``, ``left`` or ``right`` (docs/api.md, "Pictures").
    alt : str
        In words, what is to be seen.
    width, height : int
        In pixels.
    path : Path
        The file.
    """

    name: str
    alt: str
    width: int
    height: int
    path: Path
    _folder: Folder = field(repr=False, compare=False)

    def _repr_png_(self) -> bytes | None:
        """Show itself in a notebook, as long as the file is there."""
        try:
            return self.path.read_bytes()
        except OSError:
            return None


def pictures_of(result: Mapping[str, Any], folder: Folder) -> tuple[Picture, ...]:
    """Return the pictures that a result document lists, as they will lie in `folder`; a server of old lists none.

    Raises
    ------
    InvalidAnswer
        If what it lists are no pictures.
    """
    try:
        return tuple(_picture(entry, folder) for entry in result.get("pictures") or ())
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise InvalidAnswer("the server's result lists pictures that are none; is this a Duetto server?") from fault


def _picture(entry: Mapping[str, Any], folder: Folder) -> Picture:
    name = str(entry["name"])
    if not _NAME.fullmatch(name):
        raise ValueError(name)
    path = folder.path / PICTURES / f"{name}.png"
    return Picture(name, str(entry.get("alt") or ""), int(entry["width"]), int(entry["height"]), path, folder)
