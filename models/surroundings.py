"""Where a separator or tagger runs: what one that another package adds is told when it is made (docs/plugins.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the operator has set.

    Attributes
    ----------
    device : str
        "cpu", or "cuda" for the process's first GPU.
    cache_dir : Path
        Where downloads are kept.
    offline : bool
        Never download.
    """

    device: str
    cache_dir: Path
    offline: bool
