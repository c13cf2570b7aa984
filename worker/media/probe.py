"""Probe: what an upload claims to be, read from its header in a child process."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, get_args, get_type_hints

from worker.media import messages
from worker.media.choice import ShouldStop
from worker.media.info import MediaInfo
from worker.media.limits import MediaLimits
from worker.media.messages import Nonsense
from worker.media.process import DecoderProcess

__all__ = ["MediaInfo", "probe"]

_MAX_FORMAT_CHARACTERS = 200


def probe(path: Path, limits: MediaLimits, should_stop: ShouldStop | None = None) -> MediaInfo:
    """Read the header of the media file at `path`. `should_stop` is asked while waiting.

    Raises
    ------
    MediaUnreadable
        If it is empty, damaged or of no allowed format.
    UnsupportedMedia
        If it holds more than `limits.max_streams` streams or needs a decoder that is not there.
    PictureTooLarge
        If its picture has more than `limits.max_pixels` pixels.
    TooLong
        If the header claims more than `limits.max_duration_s`.
    JobGone
        If there is no such file any more.
    DecodingLimit, DecoderCrashed, OutOfMemory, Canceled
        See `worker.media.process.DecoderProcess.receive`.
    """
    with DecoderProcess("probe", [path], limits, should_stop) as decoder:
        message = decoder.receive({messages.HEADER: messages.MAX_JSON_BYTES})
        try:
            info = _as_info(messages.as_json(message[1] if message else bytearray()), limits)
        except Nonsense as nonsense:
            raise decoder.refused(str(nonsense)) from None
        return info


def _as_info(said: dict[str, Any], limits: MediaLimits) -> MediaInfo:
    """Return what the child found, each field of the type that it must have."""
    types = get_type_hints(MediaInfo)
    if said.keys() != types.keys():
        raise Nonsense("other fields than those of a probe")
    for name, value in said.items():
        if type(value) not in (get_args(types[name]) or (types[name],)):
            raise Nonsense(f"{name} is no {types[name]}")
        if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
            raise Nonsense(f"{name} is {value}")
        if isinstance(value, str) and (len(value) > _MAX_FORMAT_CHARACTERS or not value.isprintable()):
            raise Nonsense(f"{name} is no name")
    info = MediaInfo(**said)
    if info.duration_s is not None and info.duration_s > limits.max_duration_s:
        raise Nonsense(f"{info.duration_s} s, which should have been refused")
    return dataclasses.replace(info)
