"""The manifest of what an attempt has published: its files and their digests, and the digest of the zip of them.

What has been published never changes, so its digests are computed once, by the worker that has the files at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from app.digests import BLOCK_BYTES, Digest, digest_of
from app.stem_names import is_picture
from app.storage.names import checked_key
from app.storage.protocol import Published
from app.stored_file import LocalFile, StoredFile
from app.stored_zip import Segment, length_of, read_segments, stored_zip

# Hidden, so that no file of a job can have this name.
MANIFEST: Final = ".manifest.json"


class Manifest(BaseModel):
    """See above. `attempt` is where a storage without renaming has put the files."""

    model_config = ConfigDict(frozen=True)

    files: dict[str, Digest]
    zip: Digest
    attempt: str = ""

    def published(self, file_of: Callable[[str, Digest], StoredFile]) -> Published:
        """Return the artifacts, each as `file_of` makes it of its name and digest."""
        return Published({name: file_of(name, digest) for name, digest in self.files.items()}, self.zip)


def zip_of(files: Iterable[StoredFile]) -> list[Segment]:
    """Return the zip of a job's files: all but pictures, which are for looking at on the way."""
    return stored_zip([file for file in files if not is_picture(file.name)])


def manifest_of(folder: Path, attempt: str = "") -> Manifest:
    """Return the manifest of all files of a folder; they are read twice.

    Raises
    ------
    ValueError
        If a file's name is not a flat lower-case one.
    OSError
        If one cannot be read.
    """
    files = []
    for path in sorted(folder.iterdir(), key=lambda path: (path.suffix == ".json", path.name)):
        checked_key(path.name)
        with path.open("rb") as file:
            files.append(LocalFile(path, digest_of(iter(lambda file=file: file.read(BLOCK_BYTES), b""))))  # type: ignore[misc]
    segments = zip_of(files)
    zip_digest = digest_of(read_segments(segments, 0, length_of(segments)))
    return Manifest(files={file.name: file.digest for file in files}, zip=zip_digest, attempt=attempt)
