"""What the files of a finished job are called: a stem for each side, and the result document."""

from __future__ import annotations

from typing import Final, Literal

from app.stem_formats import StemFormat

Side = Literal["left", "right"]
SIDES: Final[tuple[Side, ...]] = ("left", "right")
RESULT: Final = "result.json"


def stem_name(side: Side, stem_format: StemFormat) -> str:
    """Return the name of the stem of the player on that side, for instance ``left.flac``."""
    return f"{side}.{stem_format}"


def stem_names(stem_format: StemFormat) -> tuple[str, str]:
    """Return the names of both stems, the left one first."""
    return stem_name("left", stem_format), stem_name("right", stem_format)


def artifact_names(stem_format: StemFormat) -> tuple[str, str, str]:
    """Return the names of all that a job publishes."""
    return (*stem_names(stem_format), RESULT)
