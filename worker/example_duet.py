"""The example duet that ships with Duetto: its video and its true stems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Example:
    """Files of a duet whose parts are known."""

    video: Path
    left: Path
    right: Path


def example_duet() -> Example:
    """Return the example: inside the package when it was installed from a wheel, else in the source tree.

    Raises
    ------
    FileNotFoundError
        If it is in neither place.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "example", here.parent / "examples"):
        if (folder / "duet.mp4").is_file():
            return Example(folder / "duet.mp4", folder / "duet_left.wav", folder / "duet_right.wav")
    raise FileNotFoundError("the example duet is missing; install Duetto anew")
