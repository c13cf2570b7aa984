"""What the files of a finished job are called: a stem for each side, the result document, and pictures."""

from __future__ import annotations

from typing import Final, Literal

from app.stem_formats import StemFormat

Side = Literal["left", "right"]
SIDES: Final[tuple[Side, ...]] = ("left", "right")
RESULT: Final = "result.json"
PICTURES: Final = "pictures"
_PICTURE_SUFFIX: Final = ".png"


def stem_name(side: Side, stem_format: StemFormat) -> str:
    """Return the name of the stem of the player on that side, for instance ``left.flac``."""
    return f"{side}.{stem_format}"


def stem_names(stem_format: StemFormat) -> tuple[str, str]:
    """Return the names of both stems, the left one first."""
    return stem_name("left", stem_format), stem_name("right", stem_format)


def artifact_names(stem_format: StemFormat) -> tuple[str, str, str]:
    """Return the names of all that a job publishes besides pictures, of which it may have some or none."""
    return (*stem_names(stem_format), RESULT)


def picture_name(name: str) -> str:
    """Return what the file of the picture called `name` is called."""
    return f"{name}{_PICTURE_SUFFIX}"


def is_picture(name: str) -> bool:
    """Return whether a file of a job, by its name, is a picture."""
    return name.endswith(_PICTURE_SUFFIX)


def picture_url(name: str) -> str:
    """Return where the picture called `name` is, relative to the result document."""
    return f"{PICTURES}/{picture_name(name)}"
