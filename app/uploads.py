"""What an uploaded file is, told by its first bytes; its name and its declared type are not believed.

The formats: ISO base media (ISO/IEC 14496-12: size, then a box type), Matroska and WebM (EBML), RIFF
(AVI, WAVE, WebP) and RF64, FLAC, Ogg, MPEG-1/2 layer III, ZIP, JPEG, PNG, BMP.
"""

from __future__ import annotations

import io
import struct
import unicodedata
import zipfile
from enum import StrEnum
from typing import BinaryIO, Final

from app.errors import CorruptZip, EmptyFile, TooManyImages, UnsupportedMedia

# Enough for every signature here, and for a file to be named for what it is.
SNIFF_BYTES: Final = 64
TITLE_CHARACTERS: Final = 120
# A central directory's entry is 46 bytes, its name and extras; a zip with more than this per picture is
# one made to fill the memory of who reads its directory.
_ZIP_ENTRY_BYTES: Final = 1024
_ZIP_END_BYTES: Final = 22 + 65_535

# Box types that an MP4 or MOV may begin with.
_MEDIA_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
# Boxes that hold no media are small; text ("I'm free ...") read as a size is not.
_SMALL_BOX_BYTES: Final = 1 << 24


class Field(StrEnum):
    """The fields of the form that take files."""

    VIDEO = "video"
    FRAMES = "frames"
    AUDIO = "audio"


class Format(StrEnum):
    """A file format, by the extension that its stored file gets."""

    MP4 = "mp4"
    MATROSKA = "mkv"
    AVI = "avi"
    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OGG = "ogg"
    ZIP = "zip"
    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"
    BMP = "bmp"


VIDEO_FORMATS: Final = frozenset({Format.MP4, Format.MATROSKA, Format.AVI})
IMAGE_FORMATS: Final = frozenset({Format.JPEG, Format.PNG, Format.WEBP, Format.BMP})
TAKEN: Final[dict[Field, frozenset[Format]]] = {
    Field.VIDEO: VIDEO_FORMATS,
    Field.FRAMES: IMAGE_FORMATS | {Format.ZIP},
    # A video will do as audio: its sound is taken.
    Field.AUDIO: VIDEO_FORMATS | {Format.WAV, Format.FLAC, Format.MP3, Format.OGG},
}
WANTED: Final[dict[Field, str]] = {
    Field.VIDEO: "a video: mp4, mov, webm, mkv or avi",
    Field.FRAMES: "pictures (jpg, png, webp or bmp) or one zip of them",
    Field.AUDIO: "a recording: wav, flac, mp3, ogg or m4a",
}


def sniff(head: bytes) -> Format | None:
    """Return the format of a file that begins with `head` (64 bytes are enough), None if it is none of ours."""
    box = head[4:8]
    if box in _MEDIA_BOXES:
        size = int.from_bytes(head[:4], "big")
        return Format.MP4 if box == b"mdat" or size < _SMALL_BOX_BYTES else None
    if head[:4] in {b"RIFF", b"RF64"}:
        return {b"AVI ": Format.AVI, b"WAVE": Format.WAV, b"WEBP": Format.WEBP}.get(head[8:12])
    for magic, found in _MAGICS:
        if head.startswith(magic):
            return found
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return Format.BMP
    return Format.MP3 if _is_layer_three(head) else None


_MAGICS: Final = (
    (b"\x1a\x45\xdf\xa3", Format.MATROSKA),
    (b"fLaC", Format.FLAC),
    (b"OggS", Format.OGG),
    (b"ID3", Format.MP3),
    (b"PK\x03\x04", Format.ZIP),
    (b"PK\x05\x06", Format.ZIP),
    (b"\xff\xd8\xff", Format.JPEG),
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
)


def _is_layer_three(head: bytes) -> bool:
    """Whether `head` is an MPEG audio frame header: 11 sync bits, layer III, a bit rate, a sample rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bit_rate not in {0, 15} and sample_rate != 3


def check_format(field: Field, head: bytes, title: str) -> Format:
    """Return the format of a file sent in `field` whose first bytes are `head`.

    Raises
    ------
    EmptyFile
        If there are no bytes.
    UnsupportedMedia
        If the format is none, or not one that the field takes.
    """
    if not head:
        raise EmptyFile(f"`{field}`: {title!r} is empty; it must be {WANTED[field]}")
    found = sniff(head)
    if found is None:
        raise UnsupportedMedia(
            f"`{field}`: {title!r} is not {WANTED[field]}; its name may end so, but its content does not begin so"
        )
    if found not in TAKEN[field]:
        fitting = [f"`{other}`" for other in Field if found in TAKEN[other]]
        raise UnsupportedMedia(
            f"`{field}`: {title!r} is {found.value}, but this field takes {WANTED[field]}; "
            f"a file like this belongs in {' or '.join(fitting)}"
        )
    return found


def display_title(filename: str) -> str:
    """Return what to call an upload: the client's file name without folders and control characters.

    For people's eyes only, at most 120 characters; nothing on the server is ever named by it.
    """
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    # "C" is Unicode's group of control, format, surrogate and unassigned characters: bidirectional
    # overrides among them, which could make a name read as another.
    visible = "".join(" " if unicodedata.category(mark)[0] == "C" else mark for mark in name)
    return " ".join(visible.split())[:TITLE_CHARACTERS] or "untitled"


def check_zip(file: BinaryIO, max_images: int) -> None:
    """Look at the directory of a zip of frames; its pictures are the worker's to decode.

    Raises
    ------
    CorruptZip
        If the zip is damaged, encrypted or without files.
    TooManyImages
        If it has more than `max_images` files.
    """
    _check_directory_size(file, max_images)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError) as error:
        raise CorruptZip(
            "`frames`: the zip is damaged or cut short; make it again, or send the pictures one by one"
        ) from error
    if any(member.flag_bits & 1 for member in members):
        raise CorruptZip("`frames`: the zip is encrypted; send one without a password")
    if not members:
        raise CorruptZip("`frames`: the zip holds no file; it must hold pictures (jpg, png, webp or bmp)")
    if len(members) > max_images:
        raise TooManyImages(f"`frames`: the zip holds {len(members)} files; at most {max_images} are taken")


def _check_directory_size(file: BinaryIO, max_images: int) -> None:
    """Refuse a directory that `zipfile`, which reads all of it, would need too much memory for."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _ZIP_END_BYTES))
    tail = file.read(_ZIP_END_BYTES)
    start = tail.rfind(b"PK\x05\x06")
    if start < 0 or start + 22 > len(tail):
        raise CorruptZip("`frames`: the zip is damaged or cut short; make it again, or send the pictures one by one")
    (directory_bytes,) = struct.unpack_from("<I", tail, start + 12)
    # With a zip64 locator the size counts that stands elsewhere; no zip of frames needs one.
    is_zip64 = tail[max(0, start - 20) : start].startswith(b"PK\x06\x07")
    if is_zip64 or directory_bytes > max_images * _ZIP_ENTRY_BYTES:
        raise TooManyImages(f"`frames`: the zip's directory is too large; at most {max_images} pictures are taken")
