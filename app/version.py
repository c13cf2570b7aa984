"""The version of Duetto that runs."""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from typing import Final

# Said by a tree that was never installed, where no distribution can be asked.
_UNKNOWN_VERSION: Final = "0+source"


@lru_cache(maxsize=1)
def duetto_version() -> str:
    """Return the installed version."""
    try:
        return metadata.version("duetto")
    except metadata.PackageNotFoundError:
        return _UNKNOWN_VERSION
