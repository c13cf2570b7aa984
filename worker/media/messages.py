"""Messages: what the process that decodes says to the worker, over a pipe.

A message is its kind (one byte), the length of its content (32 bits, little-endian) and the content:

=========  ==============================================================================
kind       content
=========  ==============================================================================
`HEADER`   a JSON object: what was asked for, or the format of the sound that follows
`SOUND`    a block of samples: float32, one channel after the other
`PICTURE`  seconds (float64), width and height (uint32 each), then RGB, row by row
`END`      nothing: all has been said
`FAILURE`  a JSON object with `code` and `message`
=========  ==============================================================================

No object is ever unpickled: the sender has seen hostile bytes. What comes is held against the limits here.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from worker.media.blocks import Samples
from worker.media.choice import MAX_SIDE_PX, VideoFrame

HEADER: Final = b"H"
SOUND: Final = b"S"
PICTURE: Final = b"P"
END: Final = b"E"
FAILURE: Final = b"F"

HEAD: Final = struct.Struct("<cI")
_PICTURE_HEAD: Final = struct.Struct("<dII")
SAMPLE_BYTES: Final = 4
MAX_JSON_BYTES: Final = 1 << 16
MAX_PICTURE_BYTES: Final = _PICTURE_HEAD.size + MAX_SIDE_PX * MAX_SIDE_PX * 3

Piece = bytes | memoryview


class Nonsense(ValueError):  # noqa: N818 - named for what it is
    """The sender said something that no sound process says."""


def send(pipe: int, kind: bytes, pieces: Sequence[Piece] = ()) -> None:
    """Write a message to the file descriptor `pipe`, waiting while it is full."""
    left = [memoryview(HEAD.pack(kind, sum(len(piece) for piece in pieces))), *(memoryview(piece) for piece in pieces)]
    while left:
        written = os.writev(pipe, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left and written:
            left[0] = left[0][written:]


def send_json(pipe: int, kind: bytes, content: dict[str, Any]) -> None:
    """Write a message whose content is a JSON object."""
    send(pipe, kind, [json.dumps(content).encode("ascii")])


def send_sound(pipe: int, block: Samples) -> None:
    """Write a block of sound, (channels, samples)."""
    send(pipe, SOUND, [np.ascontiguousarray(block).data.cast("B")])


def send_picture(pipe: int, frame: VideoFrame) -> None:
    """Write a picture and its time."""
    height, width, _ = frame.image.shape
    head = _PICTURE_HEAD.pack(frame.time_s, width, height)
    send(pipe, PICTURE, [head, np.ascontiguousarray(frame.image).data.cast("B")])


def as_json(content: bytearray) -> dict[str, Any]:
    """Return the JSON object in a message.

    Raises
    ------
    Nonsense
        If it is none.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise Nonsense("no JSON") from None
    if not isinstance(found, dict):
        raise Nonsense("no JSON object")
    return found


def as_sound(content: bytearray, channels: int) -> Samples:
    """Return the block in a message, (channels, samples) float32.

    Raises
    ------
    Nonsense
        If it is empty, no multiple of a sample of all channels, or holds what is no finite number.
    """
    if not content or len(content) % (channels * SAMPLE_BYTES):
        raise Nonsense(f"{len(content)} bytes are no block of {channels} channels")
    # (channels * samples,) -> (channels, samples)
    block = np.frombuffer(content, dtype=np.float32).reshape(channels, -1)
    if not np.isfinite(block).all():
        raise Nonsense("samples that are no numbers")
    return block


def as_picture(content: bytearray) -> VideoFrame:
    """Return the picture in a message.

    Raises
    ------
    Nonsense
        If its size is not that of its content, or beyond `MAX_SIDE_PX`, or its time no finite number.
    """
    if len(content) < _PICTURE_HEAD.size:
        raise Nonsense("a picture without a head")
    time_s, width, height = _PICTURE_HEAD.unpack_from(content)
    fits = 1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX
    if not fits or len(content) != _PICTURE_HEAD.size + width * height * 3 or not math.isfinite(time_s):
        raise Nonsense(f"{len(content)} bytes are no picture of {width} x {height}")
    # (height * width * 3,) -> (height, width, 3)
    pixels = np.frombuffer(content, dtype=np.uint8, offset=_PICTURE_HEAD.size).reshape(height, width, 3)
    return VideoFrame(time_s, pixels)
