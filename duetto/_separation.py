"""What comes of a duet: who plays where, and a stem for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from duetto import _notebook as notebook
from duetto._errors import InvalidAnswer, PackageMissing, UnusableFile
from duetto._folder import Folder
from duetto._job import Job
from duetto._picture import Picture, pictures_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Side = Literal["left", "right"]
SIDES: Final[tuple[Side, ...]] = ("left", "right")
RESULT: Final = "result.json"


@dataclass(frozen=True, slots=True)
class Stem:
    """One player: what they play, and their sound.

    Attributes
    ----------
    side : str
        ``left`` or ``right``, as seen.
    instrument : str
        For instance ``acoustic_guitar``.
    probability : float or None
        How sure that is, 0 to 1; None where it was named.
    source : str
        Where the name is from: ``tagger`` or ``request``.
    path : Path
        The sound's file.
    """

    side: Side
    instrument: str
    probability: float | None
    source: str
    path: Path
    _folder: Folder = field(repr=False, compare=False)

    def read(self) -> tuple[NDArray[np.float32], int]:
        """Return the sound, and its sample rate in Hz. Needs NumPy and soundfile.

        Returns
        -------
        samples : np.ndarray [shape=(channels, samples), float32]
            Full scale is 1.
        sample_rate : int

        Raises
        ------
        PackageMissing
            If one of the two is not installed.
        UnusableFile
            If the file is not there any more, or no sound.
        """
        try:
            import soundfile  # noqa: PLC0415 - needed here alone
        except ImportError as error:
            raise PackageMissing(
                "arrays need NumPy and soundfile: `pip install numpy soundfile`; or use the file, `path`"
            ) from error
        try:
            samples, rate = soundfile.read(self.path, dtype="float32", always_2d=True)
        except (OSError, soundfile.SoundFileError) as error:
            raise UnusableFile(f"cannot read {self.path}: {error}") from error
        return samples.T, int(rate)


@dataclass(frozen=True, slots=True)
class Separation:
    """A duet that has been separated.

    Attributes
    ----------
    left, right : Stem
        The two players.
    warnings : tuple of str
        What the server thinks should be known, for people.
    result : mapping
        The whole result document (docs/api.md): probabilities, levels, what was used.
    job : Job
        The job that did it; it stays at the server until it is deleted or expires.
    folder : Path
        Where both stems and ``result.json`` lie. A temporary folder is removed with the last object that uses it.
    pictures : tuple of Picture
        What was seen and heard, drawn; empty unless it was asked for.
    """

    left: Stem
    right: Stem
    warnings: tuple[str, ...]
    result: Mapping[str, Any] = field(repr=False, compare=False)
    job: Job = field(repr=False, compare=False)
    folder: Path
    pictures: tuple[Picture, ...] = field(default=(), repr=False)

    @property
    def files(self) -> dict[str, Path]:
        """Both stems' files, by side."""
        return {"left": self.left.path, "right": self.right.path}

    def _repr_html_(self) -> str:
        """Show itself in a notebook: who plays, warnings, and the pictures that were fetched."""
        return notebook.html(
            [(stem.side, stem.instrument, stem.probability, stem.path.name) for stem in (self.left, self.right)],
            self.warnings,
            [(picture.alt, png) for picture in self.pictures if (png := picture._repr_png_())],
        )

    @classmethod
    def of(cls, job: Job, folder: Folder, *, pictures: bool) -> Separation:
        """Return what lies in `folder`: both stems of `job`, its result, and its `pictures` if they are there too.

        Raises
        ------
        InvalidAnswer
            If the result is none.
        UnusableFile
            If it cannot be read.
        """
        result = read_result(folder)
        try:
            left, right = (_stem(result["labels"][side], side, job, folder) for side in SIDES)
            warnings = tuple(str(warning) for warning in result.get("warnings") or ())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidAnswer("the server's result names no players; is this address a Duetto server?") from error
        drawn = pictures_of(result, folder) if pictures else ()
        return cls(left, right, warnings, result, job, folder.path, drawn)


def read_result(folder: Folder) -> dict[str, Any]:
    """Return the result document that lies in `folder`.

    Raises
    ------
    InvalidAnswer
        If it is none.
    UnusableFile
        If it cannot be read.
    """
    try:
        result = json.loads((folder.path / RESULT).read_bytes())
    except OSError as error:
        raise UnusableFile(f"cannot read {folder.path / RESULT}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidAnswer("the server's result is no JSON; is this address a Duetto server?") from error
    if not isinstance(result, dict):
        raise InvalidAnswer("the server's result is no document; is this address a Duetto server?")
    return result


def stem_name(side: Side, job: Job) -> str:
    """Return what the stem of that side is called: ``left.wav``."""
    return f"{side}.{job.format}"


def _stem(label: Mapping[str, Any], side: Side, job: Job, folder: Folder) -> Stem:
    probability = label.get("probability")
    return Stem(
        side,
        str(label["instrument"]),
        None if probability is None else float(probability),
        str(label.get("source", "")),
        folder.path / stem_name(side, job),
        folder,
    )
