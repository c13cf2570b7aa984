"""Stems as the report lays them out, read and written.

::

    DIR/result_audio/NAME_seg1.wav, NAME_seg2.wav
    DIR/result_json/result.json     {"NAME.mp4": [{"audio": "NAME_seg1.wav", "position": 0}, ...]}

Position 0 is left. To the report's form each entry here may add "instrument", who was taken to play.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.evaluation.errors import InvalidLayout
from models.evaluation.layout import Duet, Pair, read_stem_names
from models.instruments import NAMES

RESULT = PurePosixPath("result_json/result.json")
AUDIO = PurePosixPath("result_audio")


@dataclass(frozen=True, slots=True)
class FoundStems:
    """The stems of one duet: files of the left and the right player, and who was taken to play, if known."""

    files: tuple[Path, Path]
    labels: Pair | None


def stem_names(name: str) -> Pair:
    """Return the file names of the left and the right stem of a duet."""
    return f"{name}_seg1.wav", f"{name}_seg2.wav"


def read_results(root: Path, duets: tuple[Duet, ...]) -> dict[str, FoundStems]:
    """Find the stems of every duet, by its name.

    Raises
    ------
    InvalidLayout
        If result.json is missing or of another form, or lacks a duet, or a stem is missing. The
        message names it relative to `root`.
    """
    named = read_stem_names(root, RESULT)
    # Its form has been checked.
    document = json.loads((root / RESULT).read_text("utf-8"))
    entries = {video.removesuffix(".mp4"): entries for video, entries in document.items()}
    found: dict[str, FoundStems] = {}
    for duet in duets:
        if duet.name not in named:
            raise InvalidLayout(
                f"{RESULT} has no entry {duet.name}.mp4; wanted is one for each duet of gt.json. "
                "Add it, or take the duet out of gt.json"
            )
        files = (root / AUDIO / named[duet.name][0], root / AUDIO / named[duet.name][1])
        for path in files:
            if not path.is_file():
                raise InvalidLayout(
                    f"{path.relative_to(root).as_posix()} is missing, which {RESULT} names as a stem of {duet.name}"
                )
        found[duet.name] = FoundStems(files, _instruments(entries[duet.name]))
    return found


def write_result(root: Path, labels: Mapping[str, Pair]) -> None:
    """Write result.json for the stems of :func:`stem_names`, whole or not at all.

    Parameters
    ----------
    root : Path
    labels : mapping
        (left, right) instruments by duet.
    """
    document = {
        f"{name}.mp4": [
            {"audio": audio, "position": position, "instrument": instrument}
            for position, (audio, instrument) in enumerate(zip(stem_names(name), pair, strict=True))
        ]
        for name, pair in labels.items()
    }
    target = root / RESULT
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    partial.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    partial.replace(target)


def _instruments(entries: list[dict[str, object]]) -> Pair | None:
    by_position = {entry["position"]: entry.get("instrument") for entry in entries}
    left, right = str(by_position[0]), str(by_position[1])
    return (left, right) if left in NAMES and right in NAMES else None
