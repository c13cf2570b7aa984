"""The report's test set on disk: which duets there are, where their files lie, who really plays.

::

    DIR/result_json/gt.json               {"NAME.mp4": [{"audio": "NAME_gt1.wav", "position": 0}, ...]}
    DIR/gt_audio/NAME.wav                 the mix
    DIR/gt_audio/NAME_gt1.wav, _gt2.wav   the true stems; position 0 in gt.json is left
    DIR/testimage/NAME/000001.jpg ...     frames at 2.4 per second, and/or
    DIR/testvideo/NAME.mp4                the video
    DIR/labels.json                       optional: [{"name": NAME, "left": ..., "right": ...}, ...]

Without labels.json, who plays is read off a name of the report's form: left instrument, number, right
instrument and perhaps a number, as in flute_3_xylophone_2 or violin_13_trumpet.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import UnknownInstrument
from models.evaluation.errors import InvalidLayout
from models.instruments import NAMES, index_of

GROUND_TRUTH = PurePosixPath("result_json/gt.json")
AUDIO = PurePosixPath("gt_audio")
IMAGES = PurePosixPath("testimage")
VIDEOS = PurePosixPath("testvideo")
LABELS = PurePosixPath("labels.json")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
SIDES = ("left", "right")

_LISTED = 5  # missing files that a message names
_INSTRUMENT = "|".join(NAMES)
_DUET_NAME = re.compile(rf"(?P<left>{_INSTRUMENT})_\d+_(?P<right>{_INSTRUMENT})(?:_\d+)?")

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Duet:
    """One duet of a test set.

    Attributes
    ----------
    name : str
    mix, left, right : Path
        The mix and the true stems.
    images : tuple of Path
        Frames at 2.4 per second in the order of their names; empty where there are none.
    video : Path or None
    labels : (left, right) or None
        Who really plays; None if neither labels.json nor the name says so.
    """

    name: str
    mix: Path
    left: Path
    right: Path
    images: tuple[Path, ...]
    video: Path | None
    labels: Pair | None


def read_layout(root: Path, *, needs_labels: bool = False, needs_pictures: bool = False) -> tuple[Duet, ...]:
    """Find all duets of a test set, in the order of gt.json.

    Parameters
    ----------
    root : Path
    needs_labels : bool
        Whether it must be known who plays in every duet.
    needs_pictures : bool
        Whether every duet must have frames or a video.

    Raises
    ------
    InvalidLayout
        If a file is missing or not as wanted. The message names it relative to `root`.
    """
    if not root.is_dir():
        raise InvalidLayout(f"there is no folder {root}; give the folder that holds {GROUND_TRUTH} and {AUDIO}/")
    truth = read_stem_names(root, GROUND_TRUTH)
    if not truth:
        raise InvalidLayout(f"{GROUND_TRUTH} names no duet; wanted is an entry for each, as in docs/evaluation.md")
    labels = _read_labels(root)
    duets = tuple(_duet(root, name, stems, labels) for name, stems in truth.items())
    _check_files(root, duets)
    if needs_labels:
        _check_labels(duets)
    if needs_pictures:
        _check_pictures(duets)
    return duets


def read_stem_names(root: Path, path: PurePosixPath) -> dict[str, Pair]:
    """Read a file of the form of gt.json: the names of the left and the right stem by duet.

    Raises
    ------
    InvalidLayout
        If the file is missing or of another form.
    """
    document = _read_json(root, path)
    if not isinstance(document, dict):
        raise InvalidLayout(f'{path} must be an object with an entry a video, {{"NAME.mp4": [...]}}')
    found: dict[str, Pair] = {}
    for video, entries in document.items():
        name = _plain(path, video).removesuffix(".mp4")
        if name in found:
            raise InvalidLayout(f"{path} names {name} twice")
        try:
            by_position = {entry["position"]: _plain(path, entry["audio"]) for entry in entries}
        except (TypeError, KeyError):
            by_position = {}
        if set(by_position) != {0, 1} or len(entries) != 2:
            raise InvalidLayout(
                f'the entry of {video} in {path} must be two objects {{"audio": FILE, "position": P}}, '
                "P being 0 for the left player and 1 for the right one"
            )
        found[name] = (by_position[0], by_position[1])
    return found


def labels_of_name(name: str) -> Pair | None:
    """Return who plays left and right in a duet of the report's naming; None for another name.

    Examples
    --------
    >>> labels_of_name("acoustic_guitar_4_xylophone")
    ('acoustic_guitar', 'xylophone')
    """
    match = _DUET_NAME.fullmatch(name)
    return None if match is None else (match["left"], match["right"])


def _duet(root: Path, name: str, stems: Pair, labels: dict[str, Pair]) -> Duet:
    folder = root / IMAGES / name
    images = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    video = root / VIDEOS / f"{name}.mp4"
    return Duet(
        name=name,
        mix=root / AUDIO / f"{name}.wav",
        left=root / AUDIO / stems[0],
        right=root / AUDIO / stems[1],
        images=tuple(images),
        video=video if video.is_file() else None,
        labels=labels.get(name) or labels_of_name(name),
    )


def _check_files(root: Path, duets: tuple[Duet, ...]) -> None:
    wanted = {
        "the mix": [duet.mix for duet in duets],
        "the left player's true stem": [duet.left for duet in duets],
        "the right player's true stem": [duet.right for duet in duets],
    }
    missing = [(path.relative_to(root), what) for what, paths in wanted.items() for path in paths if not path.is_file()]
    if missing:
        listed = "; ".join(f"{path.as_posix()}, {what}" for path, what in sorted(missing)[:_LISTED])
        more = f"; and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise InvalidLayout(
            f"missing of what {GROUND_TRUTH} names: {listed}{more}. "
            f"Wanted for each duet are {AUDIO}/NAME.wav and the two stems that {GROUND_TRUTH} gives"
        )


def _check_labels(duets: tuple[Duet, ...]) -> None:
    for duet in duets:
        if duet.labels is None:
            raise InvalidLayout(
                f"who plays in {duet.name} is not known: its name is not of the form LEFT_number_RIGHT, and {LABELS} "
                "does not list it. Add it there, or let it be found with --labels auto"
            )


def _check_pictures(duets: tuple[Duet, ...]) -> None:
    for duet in duets:
        if not duet.images and duet.video is None:
            raise InvalidLayout(
                f"{duet.name} has no pictures: wanted are frames in {IMAGES / duet.name}/ (000001.jpg and so on) or "
                f"the video {VIDEOS / duet.name}.mp4. Add one of them, or use --labels true"
            )


def _read_labels(root: Path) -> dict[str, Pair]:
    if not (root / LABELS).is_file():
        return {}
    entries = _read_json(root, LABELS)
    try:
        labels = {str(entry["name"]): (str(entry["left"]), str(entry["right"])) for entry in entries}
    except (TypeError, KeyError):
        raise InvalidLayout(
            f'{LABELS} must be a list of objects {{"name": NAME, "left": INSTRUMENT, "right": INSTRUMENT}}'
        ) from None
    for name, pair in labels.items():
        try:
            same = index_of(pair[0]) == index_of(pair[1])
        except UnknownInstrument as error:
            raise InvalidLayout(f"{LABELS}, {name}: {error}") from None
        if same:
            raise InvalidLayout(f"{LABELS}, {name}: both sides are {pair[0]}; a duet is of two instruments")
    return labels


def _read_json(root: Path, path: PurePosixPath) -> Any:
    try:
        return json.loads((root / path).read_text("utf-8"))
    except FileNotFoundError:
        raise InvalidLayout(
            f"{path} is missing in {root}; wanted is the report's layout: {GROUND_TRUTH}, {AUDIO}/ and {IMAGES}/ or "
            f"{VIDEOS}/, as in docs/evaluation.md"
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidLayout(f"{path} cannot be read as JSON: {error}") from None


def _plain(where: PurePosixPath, name: object) -> str:
    """A file's name as it stands in a JSON file: no folder may be hidden in it."""
    if not isinstance(name, str) or PurePosixPath(name).name != name or "\\" in name or name[:1] in ("", "."):
        raise InvalidLayout(f"{where} holds {name!r} where the name of a file is wanted, without any folder")
    return name
