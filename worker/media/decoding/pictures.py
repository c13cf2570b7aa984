"""Pictures: an upload of images, or of one zip of them, instead of a video.

A zip is read in place: nothing of it is ever written to the disk, and only the pictures that are
looked at are unpacked.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from worker.errors import (
    FramesUnreadable,
    JobFailure,
    JobGone,
    NoPicture,
    OutOfMemory,
    PictureTooLarge,
    TooManyFrames,
)
from worker.media.choice import FRAMES_PER_SECOND, MOST_FRAMES, VideoFrame, halving, picked, shrunk
from worker.media.choice import Image as Picture
from worker.media.decoding.container import check_size
from worker.media.limits import MIB, MediaLimits

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})

# Folders, thumbnails and notes that may lie in a zip beside each picture.
ENTRIES_PER_IMAGE = 3
SPARE_ENTRIES = 1000
CENTRAL_ENTRY = b"PK\x01\x02"
ENCRYPTED = 0x1
SCAN_BYTES = 4 * MIB


def picture_frames(
    source: Path | Sequence[Path],
    limits: MediaLimits,
    fps: float = FRAMES_PER_SECOND,
    most: int = MOST_FRAMES,
    *,
    in_rounds: bool = False,
) -> Iterator[VideoFrame]:
    """Yield the chosen pictures of an upload, in the natural order of their names (2 before 10), or that order in
    rounds of `choice.halving`.

    Parameters
    ----------
    source : path or sequence of paths
        One zip, or the pictures: JPEG, PNG, WebP or BMP. What else lies in a zip is passed over.
    fps : float
        Pictures per second, from which their times are computed.
    most : int
        This many are decoded, spaced evenly (all, if fewer).

    Raises
    ------
    NoPicture
        If there is none.
    TooManyFrames
        If there are more than `limits.max_images`.
    PictureTooLarge
        If one has more than `limits.max_pixels` pixels or `limits.max_image_bytes` bytes, or the zip
        unpacks to more than `limits.max_zip_ratio` times its size.
    FramesUnreadable
        If one is damaged or of another format, or the zip is damaged or encrypted.
    JobGone
        If a file is there no more.
    """
    with _opened(source, limits) as openers:
        count = len(openers)
        if count == 0:
            raise NoPicture(
                "The upload holds no pictures. Wanted are JPEG, PNG, WebP or BMP files, or one zip of them. "
                "Upload the frames of the video, or the video itself."
            )
        if count > limits.max_images:
            raise TooManyFrames(
                f"The upload holds {count:,} pictures; at most {limits.max_images:,} are allowed. "
                "Upload fewer: 2.4 a second are enough."
            )
        chosen = picked(count, most)
        if in_rounds:
            chosen = [chosen[place] for places in halving(len(chosen)) for place in places]
        for i in chosen:
            with _failures_of(f"Picture {i + 1} of {count}"), openers[i]() as file:
                image = _decoded(file, limits)
            yield VideoFrame(i / fps, image)


Opener = Callable[[], IO[bytes]]


@contextmanager
def _opened(source: Path | Sequence[Path], limits: MediaLimits) -> Iterator[list[Opener]]:
    """Give a way to open each picture, in order."""
    if not isinstance(source, Path):
        yield [_opener_of_file(path, limits) for path in sorted(source, key=lambda path: _natural(path.name))]
        return
    try:
        _check_entries(source, limits)
        archive = zipfile.ZipFile(source)
    except FileNotFoundError:
        raise JobGone from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise FramesUnreadable(
            "The zip of frames cannot be read: it is damaged, incomplete or no zip. Pack it again and upload it."
        ) from None
    with archive:
        infos = sorted(filter(_is_picture, archive.infolist()), key=lambda info: _natural(info.filename))
        _check_sizes(infos, limits)
        yield [_opener_of_entry(archive, info, limits) for info in infos]


def _opener_of_file(path: Path, limits: MediaLimits) -> Opener:
    def open_file() -> IO[bytes]:
        _check_bytes(path.stat().st_size, limits)
        return path.open("rb")

    return open_file


def _opener_of_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: MediaLimits) -> Opener:
    def open_entry() -> IO[bytes]:
        _check_bytes(info.file_size, limits)
        with archive.open(info) as entry:
            # The size in the directory may lie; one byte more than allowed tells.
            content = entry.read(limits.max_image_bytes + 1)
        _check_bytes(len(content), limits)
        return io.BytesIO(content)

    return open_entry


def _check_entries(path: Path, limits: MediaLimits) -> None:
    """Count the entries before `zipfile` builds an object for each: 10 million fit in an upload."""
    most = limits.max_images * ENTRIES_PER_IMAGE + SPARE_ENTRIES
    count, tail = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(SCAN_BYTES):
            count += (tail + chunk).count(CENTRAL_ENTRY)
            # Less than a whole signature, so that none is counted twice.
            tail = chunk[-(len(CENTRAL_ENTRY) - 1) :]
            if count > most:
                raise TooManyFrames(
                    f"The zip holds more than {most:,} entries; at most {limits.max_images:,} pictures are allowed. "
                    "Upload fewer: 2.4 a second are enough."
                )


def _check_sizes(infos: list[zipfile.ZipInfo], limits: MediaLimits) -> None:
    if any(info.flag_bits & ENCRYPTED for info in infos):
        raise FramesUnreadable("The zip of frames is encrypted. Pack it without a password and upload it again.")
    unpacked = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    if unpacked > limits.max_zip_ratio * max(1, packed):
        raise PictureTooLarge(
            f"The zip unpacks to more than {limits.max_zip_ratio:g} times its size, which photographs never do. "
            "Pack JPEG or PNG files and upload it again."
        )


def _check_bytes(size: int, limits: MediaLimits) -> None:
    if size > limits.max_image_bytes:
        raise PictureTooLarge(
            f"A picture has more than {limits.max_image_bytes // MIB} MiB, the most that is allowed. "
            "Save the frames as JPEG and upload them again."
        )


def _is_picture(info: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(info.filename)
    hidden = name.name.startswith(".") or "__MACOSX" in name.parts
    # The suffix first: in a damaged zip a name may be empty, on which is_dir() fails.
    return name.suffix.lower() in SUFFIXES and not hidden and not info.is_dir()


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which 2 comes before 10. A run of digits never compares with text."""
    return [
        (0, int(part), part) if part.isascii() and part.isdigit() else (1, 0, part)
        for part in re.split(r"([0-9]{1,18})", name)
        if part
    ]


@contextmanager
def _failures_of(which: str) -> Iterator[None]:
    try:
        yield
    except JobFailure:
        raise
    except FileNotFoundError:
        raise JobGone from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureTooLarge(f"{which} has more pixels than are allowed. Scale it down and upload it again.") from None
    except MemoryError:
        raise OutOfMemory from None
    # Pillow's and zipfile's decoders raise a dozen types for damaged data, SyntaxError and
    # struct.error among them; whatever it is, the picture cannot be read.
    except Exception:  # noqa: BLE001
        raise FramesUnreadable(
            f"{which} cannot be decoded. Wanted are JPEG, PNG, WebP or BMP files that open in a picture viewer. "
            "Replace it and upload them again."
        ) from None


def _decoded(file: IO[bytes], limits: MediaLimits) -> Picture:
    """Decode one picture: RGB, upright, shrunk."""
    with _pixel_limit(limits), Image.open(file, formats=FORMATS) as opened:
        check_size(opened.width, opened.height, limits)
        size = shrunk(opened.width, opened.height)
        # A JPEG decodes at a fraction of its size for a fraction of the time.
        opened.draft("RGB", size)
        image: Image.Image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):
            # 16 bits grey: the upper 8, where Pillow's own conversion would cut off at 255.
            grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            image = Image.fromarray(grey)
        image = image.convert("RGB")
        if image.size not in (size, size[::-1]):
            image = image.resize(shrunk(*image.size), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.array(image, dtype=np.uint8)


@contextmanager
def _pixel_limit(limits: MediaLimits) -> Iterator[None]:
    """Make Pillow keep our limit too, and refuse where it would only warn."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
