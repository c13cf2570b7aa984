"""The formats that stems can be had in: their names, bits a sample and media types. The extension is the name."""

from __future__ import annotations

from typing import Final, Literal, get_args

StemFormat = Literal["wav", "flac", "mp3"]
STEM_FORMATS: Final[tuple[StemFormat, ...]] = get_args(StemFormat)

Bits = Literal[16, 24, 32]
# Bits a sample, the default last. 32 are IEEE floats, the others integers; mp3 has no such thing as bits a sample.
BITS: Final[dict[StemFormat, tuple[Bits, ...]]] = {"wav": (16, 24, 32), "flac": (16, 24), "mp3": ()}

# Those of RFC 3003 and RFC 9639; WAV has none that is registered.
MEDIA_TYPES: Final[dict[StemFormat, str]] = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg"}


def default_bits(stem_format: StemFormat) -> Bits | None:
    """Return the bits a sample that stems have where nothing else is asked for."""
    return BITS[stem_format][-1] if BITS[stem_format] else None
