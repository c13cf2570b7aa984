"""Recordings made to do harm: headers that lie, numbers that are none, rates and channels that nobody plays."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random
from typing import Final

import numpy as np

from tests.fuzz import seeds
from tests.fuzz.case import Hostile, hostile

PCM, IEEE_FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def riff(
    data: bytes, *, code: int = PCM, channels: int = 1, rate: int = 16_000, bits: int = 16, data_size: int | None = None
) -> bytes:
    """A WAV file whose header says what the arguments say, true or not."""
    align = channels * bits // 8 & 0xFFFF
    form = struct.pack("<HHIIHH", code, channels, rate & 0xFFFFFFFF, rate * align & 0xFFFFFFFF, align, bits)
    size = len(data) if data_size is None else data_size
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body) & 0xFFFFFFFF) + body


def _noise_bytes(rng: Random, samples: int = 4_000, channels: int = 1) -> bytes:
    return rng.randbytes(2 * samples * channels)


def _wav(content: bytes, *expected: str) -> Hostile:
    return hostile("audio", "duet.wav", content, *expected)


def _float_wav(values: list[float], rng: Random) -> Hostile:
    samples = np.resize(np.array(values, dtype=np.float32), 4_000)
    return _wav(riff(samples.tobytes(), code=IEEE_FLOAT, bits=32))


def _ds64_that_lies(rng: Random) -> Hostile:
    whole = bytearray(riff(_noise_bytes(rng), data_size=0xFFFFFFFF))
    whole[:4] = b"RF64"
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 1 << 62, 1 << 62, 1 << 61, 0)
    return _wav(bytes(whole[:12]) + ds64 + bytes(whole[12:]))


def _flac_that_lies(rng: Random) -> Hostile:
    content = bytearray(seeds.sounds()["flac"].content)
    # STREAMINFO: the sample rate is 20 bits from byte 18, the number of samples 36 bits up to byte 26.
    if rng.random() < 0.5:
        content[21:26] = bytes([content[21] | 0x0F]) + b"\xff" * 4
    else:
        content[18:21] = bytes([0, 0, content[20] & 0x0F])
    return hostile("audio", "duet.flac", bytes(content))


def _flac_with_a_picture(rng: Random) -> Hostile:
    content = seeds.sounds()["flac"].content
    size = 0xFFFF00
    block = bytes([6]) + size.to_bytes(3, "big") + struct.pack(">II", 3, 9) + b"image/png"
    return hostile("audio", "duet.flac", content[:4] + block + content[4:])


def _id3_without_end(rng: Random) -> Hostile:
    size = rng.choice((b"\x7f\x7f\x7f\x7f", b"\0\0\0\0", b"\xff\xff\xff\xff"))
    return hostile("audio", "duet.mp3", b"ID3\4\0\0" + size + seeds.sounds()["mp3"].content)


def _xing_that_lies(rng: Random) -> Hostile:
    content = bytearray(seeds.sounds()["mp3"].content)
    at = max(content.find(b"Xing"), content.find(b"Info"), 36)
    content[at : at + 16] = b"Xing" + b"\0\0\0\x0f" + b"\xff" * 8
    return hostile("audio", "duet.mp3", bytes(content))


def _granule_that_lies(rng: Random) -> Hostile:
    content = bytearray(seeds.sounds()["ogg"].content)
    page = content.rfind(b"OggS")
    content[page + 6 : page + 14] = struct.pack("<q", rng.choice((-1, -(1 << 40), (1 << 62))))
    return hostile("audio", "duet.ogg", bytes(content))


def _broken_aac(rng: Random) -> Hostile:
    content = bytearray(seeds.sounds()["m4a"].content)
    at = content.find(b"esds")
    for _ in range(rng.choice((1, 4, 16))):
        content[at + 4 + rng.randrange(36)] = rng.randrange(256)
    return hostile("audio", "duet.m4a", bytes(content))


def _broken_aac_frames(rng: Random) -> Hostile:
    content = bytearray(seeds.sounds()["m4a"].content)
    start = content.find(b"mdat") + 4
    end = max(content.find(b"moov") - 4, start + 8)
    for _ in range(60):
        content[rng.randrange(start, end)] = rng.randrange(256)
    return hostile("audio", "duet.m4a", bytes(content))


def _adts(rng: Random) -> Hostile:
    frame = b"\xff\xf1\x50\x80\x02\x1f\xfc" + rng.randbytes(10)
    return hostile("audio", "duet.aac", frame * 40, "415 unsupported_media")


def _with_zip_behind(rng: Random) -> Hostile:
    return _wav(seeds.wav(seeds.sound()) + seeds.zip_of([("../../evil.png", b"x")]))


def _silence(rng: Random) -> Hostile:
    return _wav(riff(bytes(8_000)), "202 failed silent_audio")


def _one_instrument_twice(content: bytes, *expected: str) -> Hostile:
    found = _wav(content, *expected)
    return Hostile(found.files, found.expected, {"left": "violin", "right": "violin"})


CATALOGUE: Final[dict[str, Callable[[Random], Hostile]]] = {
    "wav of NaN": lambda rng: _float_wav([float("nan")], rng),
    "wav of infinities": lambda rng: _float_wav([float("inf"), float("-inf")], rng),
    "wav of NaN among sound": lambda rng: _float_wav([0.1, -0.2, float("nan"), 0.3], rng),
    "wav of the largest floats": lambda rng: _float_wav([3.4e38, -3.4e38], rng),
    "wav of denormals": lambda rng: _float_wav([1e-40, -1e-41], rng),
    "wav of silence": _silence,
    "wav without samples": lambda rng: _wav(riff(b"")),
    "wav of one sample": lambda rng: _wav(riff(b"\0\x40")),
    "wav of half a sample": lambda rng: _wav(riff(b"\x40")),
    "wav at 1 Hz": lambda rng: _wav(riff(_noise_bytes(rng), rate=1)),
    "wav at 0 Hz": lambda rng: _wav(riff(_noise_bytes(rng), rate=0)),
    "wav at 10 MHz": lambda rng: _wav(riff(_noise_bytes(rng), rate=10_000_000)),
    "wav at 4 GHz": lambda rng: _wav(riff(_noise_bytes(rng), rate=0xFFFFFFFF)),
    "wav of 100 channels": lambda rng: _wav(riff(_noise_bytes(rng, 200, 100), channels=100)),
    "wav of 65535 channels": lambda rng: _wav(riff(_noise_bytes(rng), channels=65_535)),
    "wav of no channel": lambda rng: _wav(riff(_noise_bytes(rng), channels=0)),
    "wav of odd bits": lambda rng: _wav(riff(_noise_bytes(rng), bits=rng.choice((0, 1, 7, 12, 40, 64, 65_535)))),
    "wav of odd codec": lambda rng: _wav(riff(_noise_bytes(rng), code=rng.choice((0, 2, 17, 85, 0x161, EXTENSIBLE)))),
    "wav of 4 GiB, it says": lambda rng: _wav(riff(_noise_bytes(rng), data_size=0xFFFFFFFF)),
    "wav of nothing, it says": lambda rng: _wav(riff(_noise_bytes(rng), data_size=0)),
    "wav, too long": lambda rng: _wav(riff(bytes(4_000 * 2 * 30), rate=4_000), "202 failed too_long"),
    "RF64 that lies": _ds64_that_lies,
    "flac that lies": _flac_that_lies,
    "flac with a picture that never ends": _flac_with_a_picture,
    "mp3 with a tag that never ends": _id3_without_end,
    "mp3 whose index lies": _xing_that_lies,
    "ogg whose time lies": _granule_that_lies,
    "aac with a broken header": _broken_aac,
    "aac with broken frames": _broken_aac_frames,
    "aac without container": _adts,
    "wav that is a zip too": _with_zip_behind,
    "one instrument twice, mono": lambda rng: _one_instrument_twice(
        riff(_noise_bytes(rng)), "202 failed same_instrument"
    ),
    "one instrument twice, noise": lambda rng: _one_instrument_twice(
        riff(_noise_bytes(rng, channels=2), channels=2), "202 failed same_instrument"
    ),
    "one instrument twice, silence": lambda _: _one_instrument_twice(
        riff(bytes(8_000), channels=2), "202 failed silent_audio"
    ),
    "one instrument twice, one sample": lambda _: _one_instrument_twice(riff(b"\0\x40\0\x20", channels=2)),
    "one instrument twice, infinities": lambda _: _one_instrument_twice(
        riff(np.resize(np.float32([np.inf, 1.0, np.nan, 0.5]), 4_000).tobytes(), code=IEEE_FLOAT, bits=32, channels=2)
    ),
}
