"""Names of the separators and taggers that a job may ask for, and of the devices that networks run on.

The models' own registries, written down once more because `app` imports no models; a test holds them equal.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

SeparatorName = Literal["auto", "nmf", "report"]
TaggerName = Literal["auto", "densenet161", "efficientnet-lite2"]
DeviceName = Literal["cpu", "cuda", "auto"]
SEPARATORS: Final[tuple[str, ...]] = get_args(SeparatorName)
TAGGERS: Final[tuple[str, ...]] = get_args(TaggerName)
AUTO: Final = "auto"
# What "auto" is. Of a tagger only the worker knows: it depends on the weights that it has.
BEST_SEPARATOR: Final[SeparatorName] = "nmf"
