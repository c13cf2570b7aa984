"""Damage to a file's bytes, of every kind that a broken disk, a broken program or a person could do."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Final

# Words that are, in one format or another, a size, a count or a rate: none at all, one, the largest there are.
_EXTREMES: Final = (
    b"\0\0\0\0",
    b"\0\0\0\1",
    b"\1\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
)
# Names of boxes and chunks before or behind which sizes stand: ISO media, RIFF, zip.
_MARKS: Final = re.compile(
    rb"ftyp|moov|mvhd|trak|tkhd|mdia|mdhd|hdlr|stbl|stsd|stts|stss|ctts|stsc|stsz|stco|co64|elst|esds|avcC|mdat|moof|"
    rb"tfhd|trun|mp4a|avc1|RIFF|LIST|hdrl|strh|strf|movi|idx1|fmt |data|fact|PK\x03\x04|PK\x01\x02|PK\x05\x06|IHDR|IDAT"
)
# Ids of Matroska whose sizes follow: segment, tracks, entry, audio, video, cluster, block, private data.
_EBML: Final = re.compile(
    rb"\x18\x53\x80\x67|\x16\x54\xae\x6b|\xae|\xe1|\xe0|\x1f\x43\xb6\x75|\xa3|\x63\xa2|\x2a\xd7\xb1|\xb5|\x9f"
)

Mutation = Callable[[bytes, bytes, Random], bytes]


def truncated(content: bytes, other: bytes, rng: Random) -> bytes:
    """Cut off: within the first bytes, at a mark, anywhere, or just before the end."""
    marks = [match.start() + rng.choice((0, 2, 4, 8)) for match in _MARKS.finditer(content)]
    places = [rng.randrange(1, 80), rng.randrange(len(content)), len(content) - rng.randrange(1, 40)]
    if marks:
        places.append(rng.choice(marks))
    return content[: max(1, rng.choice(places))]


def flipped(content: bytes, other: bytes, rng: Random) -> bytes:
    """Turn single bits over, in the header or anywhere."""
    damaged = bytearray(content)
    reach = rng.choice((64, 600, len(content)))
    for _ in range(rng.choice((1, 2, 8, 64, 400))):
        damaged[rng.randrange(min(reach, len(damaged)))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def overwritten(content: bytes, other: bytes, rng: Random) -> bytes:
    """Write other bytes over some."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 3, 10, 50))):
        at, length = rng.randrange(len(damaged)), rng.choice((1, 2, 4, 16))
        damaged[at : at + length] = rng.randbytes(length)
    return bytes(damaged)


def zeroed(content: bytes, other: bytes, rng: Random) -> bytes:
    """Fill a range with zeros, as a disk does that lost a block."""
    at = rng.randrange(len(content))
    length = min(len(content) - at, rng.choice((4, 64, 512, 4096, len(content))))
    return content[:at] + bytes(length) + content[at + length :]


def resized(content: bytes, other: bytes, rng: Random) -> bytes:
    """Make sizes, counts, lengths and rates lie: the words before and behind the names of boxes and chunks."""
    damaged = bytearray(content)
    marks = [match.start() for match in _MARKS.finditer(content)]
    if not marks:
        return resized_ebml(content, other, rng)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = max(0, rng.choice(marks) + rng.choice((-4, 4, 8, 12, 16, 20, 24, 28)))
        word = rng.choice((*_EXTREMES, rng.randbytes(4), (len(content) + rng.randrange(99)).to_bytes(4, "big")))
        damaged[at : at + 4] = word
    return bytes(damaged)


def resized_ebml(content: bytes, other: bytes, rng: Random) -> bytes:
    """The same for Matroska, whose sizes are of one to eight bytes."""
    damaged = bytearray(content)
    marks = [match.end() for match in _EBML.finditer(content)] or [4]
    for _ in range(rng.choice((1, 2, 5))):
        damaged[rng.choice(marks) % len(damaged)] = rng.choice((0x01, 0x80, 0x81, 0xFE, 0xFF, rng.randrange(256)))
    return bytes(damaged)


def swapped(content: bytes, other: bytes, rng: Random) -> bytes:
    """Put the head of one file before the body of another."""
    cut = rng.choice((8, 16, 64, 256, 1024))
    return other[:cut] + content[cut:]


def concatenated(content: bytes, other: bytes, rng: Random) -> bytes:
    """Two files behind each other, or one many times."""
    return rng.choice((content + other, content * rng.choice((2, 20)), other + content))


def shortened(content: bytes, other: bytes, rng: Random) -> bytes:
    """Take bytes out of the middle, so that all behind them is out of place."""
    at = rng.randrange(len(content))
    return (content[:at] + content[at + rng.choice((1, 2, 7, 100, 1000)) :]) or b"\0"


def lengthened(content: bytes, other: bytes, rng: Random) -> bytes:
    """Put bytes in, or a part of the file a second time."""
    at = rng.randrange(len(content))
    length = rng.choice((1, 3, 100, 5000))
    more = rng.choice((bytes(length), rng.randbytes(length), content[at : at + length] * 3))
    return content[:at] + more + content[at:]


def shuffled(content: bytes, other: bytes, rng: Random) -> bytes:
    """Put the file's pieces in another order."""
    size = rng.choice((16, 256, 2048))
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    first = rng.choice((0, 1))
    rest = pieces[first:]
    rng.shuffle(rest)
    return b"".join((*pieces[:first], *rest))


MUTATIONS: Final[dict[str, Mutation]] = {
    "truncated": truncated,
    "flipped": flipped,
    "overwritten": overwritten,
    "zeroed": zeroed,
    "resized": resized,
    "resized twice": lambda content, other, rng: resized(resized(content, other, rng), other, rng),
    "swapped": swapped,
    "concatenated": concatenated,
    "shortened": shortened,
    "lengthened": lengthened,
    "shuffled": shuffled,
}
