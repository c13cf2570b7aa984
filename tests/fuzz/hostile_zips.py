"""Zips made to do harm, each beside a good recording: bombs, paths, lies of the directory."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Final

from tests.fuzz import seeds
from tests.fuzz.case import Hostile
from tests.fuzz.hostile_pictures import beside_sound
from tests.media import image_bytes, png_bomb

CORRUPT: Final = "422 corrupt_zip"
TOO_MANY: Final = "422 too_many_images"
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def _zip(content: bytes, *expected: str, named: bool = False) -> Hostile:
    return beside_sound("frames.zip", content, *expected, named=named)


def _packed(entries: list[tuple[zipfile.ZipInfo | str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    return seeds.zip_of(entries, method)


def _picture(rng: Random) -> bytes:
    return image_bytes(rng.randrange(200))


def _named(rng: Random, names: tuple[str, ...]) -> Hostile:
    return _zip(_packed([(name, _picture(rng)) for name in names]))


def _nested(rng: Random) -> Hostile:
    inner = _packed([(f"{i}.png", bytes(1 << 20)) for i in range(4)])
    for _ in range(6):
        inner = _packed([(f"{i}.png", inner) for i in range(4)])
    return _zip(inner)


def _link(rng: Random) -> Hostile:
    info = zipfile.ZipInfo("1.png")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return _zip(_packed([(info, b"/etc/passwd")], zipfile.ZIP_STORED))


def _encrypted(rng: Random) -> Hostile:
    content = bytearray(_packed([("1.png", _picture(rng))]))
    for mark, offset in ((LOCAL, 6), (CENTRAL, 8)):
        content[content.find(mark) + offset] |= 1
    return _zip(bytes(content), CORRUPT)


def _patched(rng: Random, mark: bytes, offset: int, word: bytes) -> Hostile:
    content = bytearray(_packed([("1.png", _picture(rng)), ("2.png", _picture(rng))]))
    at = content.find(mark) + offset
    content[at : at + len(word)] = word
    return _zip(bytes(content))


def _overlapping(rng: Random, entries: int = 50) -> Hostile:
    """Every entry of the directory is the same bytes: a bomb that needs no nesting (Fifield 2019)."""
    single = _packed([("1.png", bytes(4 << 20))])
    directory = single.find(CENTRAL)
    entry = single[directory : single.find(END)]
    end = END + struct.pack("<HHHHIIH", 0, 0, entries, entries, entries * len(entry), directory, 0)
    return _zip(single[:directory] + entry * entries + end)


def _zip64(rng: Random) -> Hostile:
    content = _packed([("1.png", _picture(rng))])
    end = content.find(END)
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 50, 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    return _zip(content[:end] + record + locator + END + b"\xff" * 16 + bytes(2), TOO_MANY)


def _many_entries(rng: Random) -> Hostile:
    entry = CENTRAL + bytes(42)
    count = 20_000
    end = END + struct.pack("<HHHHIIH", 0, 0, count, count, count * len(entry), 0, 0)
    return _zip(entry * count + end)


def _method(rng: Random) -> Hostile:
    word = rng.choice((99, 1, 6, 9, 93, 95, 0xFFFF)).to_bytes(2, "little")
    content = bytearray(_packed([("1.png", _picture(rng))]))
    for mark, offset in ((LOCAL, 8), (CENTRAL, 10)):
        at = content.find(mark) + offset
        content[at : at + 2] = word
    return _zip(bytes(content))


def _two_ends(rng: Random) -> Hostile:
    content = bytearray(_packed([("1.png", _picture(rng))]))
    content[-2:] = struct.pack("<H", 22)
    return _zip(bytes(content) + END + bytes(18))


CATALOGUE: Final[dict[str, Callable[[Random], Hostile]]] = {
    "zip bomb of ratio 1000": lambda rng: _zip(_packed([(f"{i}.png", bytes(4 << 20)) for i in range(40)])),
    "zip of zips, seven deep": _nested,
    "zip of a png of 144 million pixels": lambda rng: _zip(_packed([("1.png", png_bomb())], zipfile.ZIP_STORED)),
    "zip whose entries overlap": _overlapping,
    "zip of bzip2": lambda rng: _zip(_packed([("1.png", bytes(4 << 20))], zipfile.ZIP_BZIP2)),
    "zip of lzma": lambda rng: _zip(_packed([("1.png", bytes(4 << 20))], zipfile.ZIP_LZMA)),
    "zip of lzma pictures": lambda rng: _zip(_packed([("1.png", _picture(rng))], zipfile.ZIP_LZMA)),
    "zip of unknown method": _method,
    "zip of many entries": lambda rng: _zip(
        _packed([(f"{i}.png", b"") for i in range(3_000)], zipfile.ZIP_STORED), TOO_MANY
    ),
    "zip of a directory alone": _many_entries,
    "zip with ../../": lambda rng: _named(rng, ("../../../../etc/1.png", "..\\..\\2.png", "a/../../3.png")),
    "zip with absolute names": lambda rng: _named(rng, ("/etc/1.png", "C:\\Windows\\2.png", "//host/share/3.png")),
    "zip with one name twice": lambda rng: _named(rng, ("1.png", "1.png", "1.png")),
    "zip with odd names": lambda rng: _named(
        rng, ("\u202egnp.1.png", "a" * 60_000 + ".png", "con.png", "-rf.png", ".png")
    ),
    "zip with digits without end": lambda rng: _named(rng, ("9" * 5_000 + ".png", "²³.png", "٣.png")),
    "zip with a link": _link,
    "zip, encrypted": _encrypted,
    "zip without files": lambda rng: _zip(_packed([]), CORRUPT),
    "zip of folders": lambda rng: _zip(_packed([("a/", b""), ("a/b.png/", b"")]), CORRUPT),
    "zip of texts": lambda rng: _zip(_packed([("readme.txt", b"text"), ("a.exe", b"MZ")]), "202 failed no_picture"),
    "zip of text named png": lambda rng: _zip(_packed([("1.png", b"text" * 99)]), "202 failed frames_unreadable"),
    "zip of ffconcat": lambda rng: _zip(_packed([("1.png", b"ffconcat version 1.0\nfile /etc/passwd\n")])),
    "zip whose size lies, larger": lambda rng: _patched(rng, CENTRAL, 24, b"\xff\xff\xff\x7f"),
    "zip whose size lies, smaller": lambda rng: _patched(rng, CENTRAL, 24, b"\1\0\0\0"),
    "zip whose packed size lies": lambda rng: _patched(rng, CENTRAL, 20, b"\xff\xff\xff\x7f"),
    "zip whose offset lies": lambda rng: _patched(rng, CENTRAL, 42, b"\xff\xff\xff\x7f"),
    "zip whose name length lies": lambda rng: _patched(rng, CENTRAL, 28, b"\xff\xff"),
    "zip whose local name differs": lambda rng: _patched(rng, LOCAL, 30, b"x"),
    "zip with a wrong checksum": lambda rng: _patched(rng, CENTRAL, 16, b"\1\2\3\4"),
    "zip whose directory lies": lambda rng: _patched(rng, END, 10, b"\xff\xff\xff\xff\xff\xff\0\0"),
    "zip64 that lies": _zip64,
    "zip with two ends": _two_ends,
    "zip behind another": lambda rng: _zip(seeds.zip_of([("1.png", b"x")]) + seeds.zip_of([("2.png", _picture(rng))])),
}
