"""Names of the separators and taggers that come with Duetto, and of the devices that networks run on.

The models' own registries, written down once more because `app` imports no models; a test holds them equal. What other
packages add: app/plugins.py.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, get_args

from pydantic import StringConstraints


class Kind(StrEnum):
    """What a job may choose by name, and another package may add."""

    SEPARATOR = "separator"
    TAGGER = "tagger"


# Names become parts of file names, and words of a setting with commas between.
NAME_PATTERN: Final = r"^[a-z][a-z0-9-]{0,39}$"
MethodName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
SeparatorName = Literal["auto", "learned", "nmf", "report"]
TaggerName = Literal["auto", "densenet161", "efficientnet-lite2"]
LabelRule = Literal["auto", "fused", "report"]
DeviceName = Literal["cpu", "cuda", "auto"]
SEPARATORS: Final[tuple[str, ...]] = get_args(SeparatorName)
TAGGERS: Final[tuple[str, ...]] = get_args(TaggerName)
LABEL_RULES: Final[tuple[str, ...]] = get_args(LabelRule)
BUILT_IN: Final = {Kind.SEPARATOR: SEPARATORS, Kind.TAGGER: TAGGERS}
AUTO: Final = "auto"
# What "auto" is. Of a tagger only the worker knows: it depends on the weights that it has.
BEST_SEPARATOR: Final[SeparatorName] = "learned"
