"""Pictures made to do harm, alone, each beside a good recording."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Final

from tests.fuzz import seeds
from tests.fuzz.case import Hostile, Upload
from tests.media import image_bytes, png_bomb

REFUSED: Final = "415 unsupported_media"


def beside_sound(filename: str, content: bytes, *expected: str, named: bool = False) -> Hostile:
    """Return the picture (or zip of some) with a recording; with `named`, it need not be looked at."""
    files = (Upload("frames", filename, content), seeds.sounds()["16-bit wav"])
    options = {"left": "violin", "right": "cello"} if named else {"left": "violin"}
    return Hostile(files, frozenset(expected), options)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """A PNG's chunk with its true checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png_of_size(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(bytes(99))) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _png_with_text_bomb(rng: Random) -> Hostile:
    good = image_bytes(1)
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(64 << 20), 9))
    return beside_sound("1.png", good[:33] + bomb + good[33:])


def _bmp_of_size(rng: Random) -> Hostile:
    size = rng.choice(((65_535, 65_535), (0, 0), (1, 0x7FFFFFFF), (100_000, 100_000), (2000, 2001)))
    content = bytearray(image_bytes(1, "BMP"))
    content[18:26] = struct.pack("<II", *size)
    return beside_sound("1.bmp", bytes(content))


def _jpeg_of_size(rng: Random) -> Hostile:
    content = bytearray(image_bytes(1, "JPEG"))
    at = content.find(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    return beside_sound("1.jpg", bytes(content), "202 failed picture_too_large")


def _webp_of_size(rng: Random) -> Hostile:
    content = bytearray(image_bytes(1, "WEBP"))
    content[26:30] = b"\xff\x3f\xff\x3f"
    return beside_sound("1.webp", bytes(content))


def _svg(rng: Random) -> Hostile:
    svg = b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/hostname">]><svg>&x;</svg>' + bytes(64)
    return beside_sound("1.svg", svg, REFUSED)


def _heic(brand: bytes) -> bytes:
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(200)


CATALOGUE: Final[dict[str, Callable[[Random], Hostile]]] = {
    "png of 144 million pixels": lambda rng: beside_sound("1.png", png_bomb(), "202 failed picture_too_large"),
    "png of 2^62 pixels, it says": lambda rng: beside_sound("1.png", _png_of_size(0x7FFFFFFF, 0x7FFFFFFF)),
    "png of no pixel": lambda rng: beside_sound("1.png", _png_of_size(0, 0)),
    "png of one row too wide": lambda rng: beside_sound("1.png", _png_of_size(3_999_999, 1)),
    "png with a text that unpacks to 64 MiB": _png_with_text_bomb,
    "bmp of a size that lies": _bmp_of_size,
    "jpeg of a size that lies": _jpeg_of_size,
    "webp of a size that lies": _webp_of_size,
    "gif as picture": lambda rng: beside_sound("1.png", image_bytes(1, "GIF"), REFUSED),
    "tiff as picture": lambda rng: beside_sound("1.png", image_bytes(1, "TIFF"), REFUSED),
    "svg with an entity as picture": _svg,
    "heic as picture": lambda rng: beside_sound("1.png", _heic(b"heic"), REFUSED),
    "eps as picture": lambda rng: beside_sound("1.png", b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(99), REFUSED),
    "fifty pictures and one": lambda rng: Hostile(
        (*(Upload("frames", f"{i}.png", image_bytes(i)) for i in range(51)), seeds.sounds()["16-bit wav"]),
        frozenset({"422 too_many_images"}),
        {"left": "violin", "right": "cello"},
    ),
    "heic as video": lambda rng: Hostile(
        (Upload("video", "duet.mp4", _heic(b"heic")),), options={"left": "violin", "right": "cello"}
    ),
    "avif as video": lambda rng: Hostile(
        (Upload("video", "duet.mp4", _heic(b"avif")),), options={"left": "violin", "right": "cello"}
    ),
    "picture that is a zip too": lambda rng: beside_sound(
        "1.png", image_bytes(1) + seeds.zip_of([("../1.png", image_bytes(2))])
    ),
}
