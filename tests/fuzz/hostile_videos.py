"""Videos made to do harm: playlists that open other files, boxes and tracks without end, times that lie."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz import seeds
from tests.fuzz.case import Hostile, hostile
from tests.media import Video, image_bytes, mov_of_png, noise, png_bomb, write_media

REFUSED: Final = "415 unsupported_media"
NAMES: Final = {"left": "violin", "right": "cello"}

FFCONCAT = b"ffconcat version 1.0\nfile /etc/passwd\nfile other.mp4\n" * 4
PLAYLISTS: Final = {
    "ffconcat": FFCONCAT,
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "dash": b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>' + b" " * 64,
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "smil": b'<smil><body><video src="file:///etc/passwd"/></body></smil>' + b" " * 64,
    "text": b"I am no video.\n" * 20,
    "html": b"<!doctype html><html><script>alert(1)</script></html>" + b" " * 64,
    "program": b"\x7fELF\x02\x01\x01" + bytes(200),
    "pdf": b"%PDF-1.7\n" + bytes(200),
    "gif": image_bytes(1, "GIF"),
    "mpeg-ts": (b"\x47\x40\x11\x10" + bytes(184)) * 20,
}


def box(name: bytes, *contents: bytes, size: int | None = None) -> bytes:
    """A box of an MP4; `size` if it is to lie."""
    content = b"".join(contents)
    return struct.pack(">I", len(content) + 8 if size is None else size) + name + content


FTYP: Final = box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")


def _video(content: bytes, *expected: str, suffix: str = "mp4") -> Hostile:
    found = hostile("video", f"duet.{suffix}", content, *expected)
    return Hostile(found.files, found.expected, NAMES)


def _playlist(name: str) -> Callable[[Random], Hostile]:
    return lambda rng: _video(PLAYLISTS[name], REFUSED)


def _mp4_before(text: bytes) -> Callable[[Random], Hostile]:
    return lambda rng: _video(FTYP + text, "202 failed media_unreadable")


def _deep(rng: Random) -> Hostile:
    content = b""
    for _ in range(rng.choice((50, 5_000))):
        content = box(rng.choice((b"moov", b"trak", b"mdia", b"udta")), content)
    return _video(FTYP + box(b"moov", content))


def _boxes_of_no_size(rng: Random) -> Hostile:
    size = rng.choice((0, 1, 2, 7))
    return _video(FTYP + box(b"moov", size=size) + struct.pack(">Q", rng.choice((0, 8, 1 << 63, (1 << 64) - 1))))


def _many_boxes(rng: Random) -> Hostile:
    return _video(FTYP + box(b"free") * 300_000)


def _many_tracks(rng: Random) -> Hostile:
    content = seeds.videos()["mp4"].content
    moov_at = content.find(b"moov") - 4
    moov_size = int.from_bytes(content[moov_at : moov_at + 4], "big")
    moov = content[moov_at + 8 : moov_at + moov_size]
    at = moov.find(b"trak") - 4
    trak = moov[at : at + int.from_bytes(moov[at : at + 4], "big")]
    return _video(content[:moov_at] + box(b"moov", moov, trak * 1_500) + content[moov_at + moov_size :])


def _word_after(mark: bytes, offset: int, word: bytes, kind: str = "mp4") -> Callable[[Random], Hostile]:
    def make(rng: Random) -> Hostile:
        content = bytearray(seeds.videos()[kind].content)
        at = content.find(mark)
        while at >= 0:
            content[at + offset : at + offset + len(word)] = word
            at = content.find(mark, at + 4)
        return _video(bytes(content))

    return make


def _other_file(rng: Random) -> Hostile:
    """A track whose data lies in another file, by name: FFmpeg follows such only where it is told to."""
    content = seeds.videos()["mov"].content
    at = content.find(b"url ")
    entry = box(b"alis", struct.pack(">I", 0), b"\0" * 150 + b"/etc/passwd\0")
    return _video(content[: at - 4] + entry + content[at + 8 :], suffix="mov")


def ebml(ident: int, *contents: bytes, size: int | None = None) -> bytes:
    """An element of Matroska, its size in eight bytes; `size` if it is to lie."""
    content = b"".join(contents)
    length = len(content) if size is None else size
    return ident.to_bytes((ident.bit_length() + 7) // 8, "big") + (length | 1 << 56).to_bytes(8, "big") + content


_EBML_HEAD: Final = ebml(0x1A45DFA3, ebml(0x4282, b"matroska"), ebml(0x4287, b"\4"), ebml(0x4285, b"\2"))


def _track(number: int, *more: bytes) -> bytes:
    """A track of 16-bit sound at 16 kHz."""
    sound = ebml(0xE1, ebml(0xB5, struct.pack(">f", 16_000.0)), ebml(0x9F, b"\1"), ebml(0x6264, b"\x10"))
    ident = ebml(0xD7, number.to_bytes(4, "big")) + ebml(0x73C5, number.to_bytes(4, "big"))
    return ebml(0xAE, ident, ebml(0x83, b"\2"), ebml(0x86, b"A_PCM/INT/LIT"), sound, *more)


def _mkv(tracks: bytes, *clusters: bytes, size: int | None = None) -> Hostile:
    return _video(_EBML_HEAD + ebml(0x18538067, ebml(0x1654AE6B, tracks), *clusters, size=size), suffix="mkv")


def _cluster(time: int, block: bytes) -> bytes:
    return ebml(0x1F43B675, ebml(0xE7, time.to_bytes(8, "big")), ebml(0xA3, b"\x81\0\0\x80", block))


def _mkv_many_tracks(rng: Random) -> Hostile:
    tracks = b"".join(_track(i + 1) for i in range(rng.choice((65, 3_000))))
    return _mkv(tracks, _cluster(0, rng.randbytes(3_200)))


def _mkv_bomb(rng: Random) -> Hostile:
    """A block packed with zlib, which unpacks to a thousand times its size."""
    packing = ebml(0x6D80, ebml(0x6240, ebml(0x5034, ebml(0x4254, b"\0"))))
    return _mkv(_track(1, packing), *(_cluster(i, zlib.compress(bytes(32 << 20), 9)) for i in range(8)))


def _mkv_time(rng: Random) -> Hostile:
    late = rng.choice((30_000, 10**9, (1 << 62)))
    return _mkv(_track(1), _cluster(0, rng.randbytes(3_200)), _cluster(late, rng.randbytes(3_200)))


def _mkv_nested(rng: Random) -> Hostile:
    content = b""
    for _ in range(2_000):
        content = ebml(rng.choice((0x1C53BB6B, 0x1254C367, 0x7373, 0x67C8)), content)
    return _mkv(_track(1), content)


def _mkv_frame_of_png(rng: Random) -> Hostile:
    picture = ebml(0xE0, ebml(0xB0, b"\x40"), ebml(0xBA, b"\x30"))
    track = ebml(0xAE, ebml(0xD7, b"\2"), ebml(0x73C5, b"\2"), ebml(0x83, b"\1"), ebml(0x86, b"V_MJPEG"), picture)
    block = ebml(0x1F43B675, ebml(0xE7, b"\0"), ebml(0xA3, b"\x82\0\0\x80", png_bomb()))
    return _mkv(_track(1) + track, _cluster(0, rng.randbytes(3_200)), block)


@lru_cache(maxsize=1)
def _mov_of_bomb() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return mov_of_png(Path(folder) / "a.mov", png_bomb(), 12_000, 12_000).read_bytes()


@lru_cache(maxsize=1)
def _mov_of_hidden_bomb() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return mov_of_png(Path(folder) / "a.mov", png_bomb(), 64, 48).read_bytes()


@lru_cache(maxsize=4)
def _written(kind: str) -> bytes:
    tracks = {
        "no sound": (None, Video(4)),
        "no picture": (seeds.sound(), None),
        "gap": (seeds.sound(1, 0.5), None),
        "wide": (seeds.sound(), Video(2, width=4096, height=16)),
    }
    sound, video = tracks[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mkv"
        gap = (2_000, 3_600 * seeds.RATE) if kind == "gap" else None
        write_media(path, sound, seeds.RATE, codec="flac", video=video, gap=gap, options=dict(seeds.BITEXACT))
        return path.read_bytes()


def _magic_then_noise(rng: Random) -> Hostile:
    head = rng.choice((FTYP, box(b"moov", size=5_000), _EBML_HEAD, b"RIFF\xff\xff\xff\x7fAVI LIST", b"\0\0\0\1mdat"))
    return _video(head + rng.randbytes(rng.choice((60, 5_000))))


def _avi_rate(rng: Random) -> Hostile:
    content = bytearray(seeds.videos()["avi"].content)
    at = content.find(b"strh")
    while at >= 0:
        content[at + 28 : at + 36] = rng.choice((bytes(8), b"\1\0\0\0\xff\xff\xff\xff", b"\xff\xff\xff\xff\1\0\0\0"))
        at = content.find(b"strh", at + 4)
    return _video(bytes(content), suffix="avi")


CATALOGUE: Final[dict[str, Callable[[Random], Hostile]]] = {
    **{f"{name} named mp4": _playlist(name) for name in PLAYLISTS},
    "mp4 that goes on as ffconcat": _mp4_before(FFCONCAT),
    "mp4 that goes on as hls": _mp4_before(PLAYLISTS["hls"]),
    "mov of a png of 144 million pixels": lambda rng: _video(_mov_of_bomb(), suffix="mov"),
    "mov of a png that hides its size": lambda rng: _video(_mov_of_hidden_bomb(), suffix="mov"),
    "mov whose track lies in another file": _other_file,
    "mp4 of boxes in boxes": _deep,
    "mp4 of boxes of no size": _boxes_of_no_size,
    "mp4 of 300,000 boxes": _many_boxes,
    "mp4 of 1,500 tracks": _many_tracks,
    "mp4 that lasts for ever, it says": _word_after(b"mvhd", 16, b"\0\0\0\1\xff\xff\xff\xff"),
    "mp4 whose tracks last for ever": _word_after(b"mdhd", 16, b"\0\0\0\1\xff\xff\xff\xff"),
    "mp4 without a time scale": _word_after(b"mdhd", 16, bytes(4)),
    "mp4 of 4 thousand million samples": _word_after(b"stsz", 12, b"\xff\xff\xff\xff"),
    "mp4 of samples of 4 GiB": _word_after(b"stsz", 8, b"\xff\xff\xff\xff"),
    "mp4 whose samples last for ever": _word_after(b"stts", 12, b"\x7f\xff\xff\xff"),
    "mp4 with 4 thousand million times": _word_after(b"stts", 8, b"\xff\xff\xff\xff"),
    "mp4 whose chunks lie elsewhere": _word_after(b"stco", 12, b"\xff\xff\xff\xff"),
    "mp4 whose edit list lies": _word_after(b"elst", 12, b"\x7f\xff\xff\xff\x80\0\0\0"),
    "mp4 of 65535 channels": _word_after(b"mp4a", 20, b"\xff\xff"),
    "mp4 of 65535 by 65535": _word_after(b"avc1", 28, b"\xff\xff\xff\xff"),
    "fragments that last for ever": _word_after(b"trun", 12, b"\xff\xff\xff\xff", "fragmented mp4"),
    "fragments from the end of time": _word_after(b"tfdt", 8, b"\x7f" + b"\xff" * 7, "fragmented mp4"),
    "mkv of thousands of tracks": _mkv_many_tracks,
    "mkv whose blocks are bombs": _mkv_bomb,
    "mkv with a gap in time": _mkv_time,
    "mkv of elements in elements": _mkv_nested,
    "mkv of unknown size": lambda rng: _mkv(_track(1), _cluster(0, rng.randbytes(6_400)), size=(1 << 56) - 1),
    "mkv whose frame is a png": _mkv_frame_of_png,
    "mkv without tracks": lambda rng: _mkv(b""),
    "mkv with an hour of nothing": lambda rng: _video(_written("gap"), "202 failed too_long", suffix="mkv"),
    "avi whose rates lie": _avi_rate,
    "video without sound": lambda rng: _video(_written("no sound"), "202 failed no_audio", suffix="mkv"),
    "video without picture": lambda rng: Hostile(
        hostile("video", "a.mkv", _written("no picture")).files, frozenset({"202 failed no_picture"})
    ),
    "video of one line": lambda rng: _video(_written("wide"), "202 succeeded", suffix="mkv"),
    "right beginning, then noise": _magic_then_noise,
    "empty video": lambda rng: _video(b"", "422 empty_file"),
    "video of one byte": lambda rng: _video(b"\0", REFUSED),
    "silence between noise": lambda rng: _video(noise(1, 500).tobytes() + seeds.videos()["mp4"].content, REFUSED),
}
