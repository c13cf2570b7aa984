"""Tasks: what the worker may ask of the process that decodes."""

from __future__ import annotations

import dataclasses
import os
import socket
from pathlib import Path

from worker.media import messages
from worker.media.decoding.confinement import Confinement
from worker.media.decoding.pictures import picture_frames
from worker.media.decoding.probe import probe
from worker.media.decoding.serve import Arguments, Task
from worker.media.decoding.sound import SoundDecoder
from worker.media.decoding.video import video_frames
from worker.media.limits import MediaLimits

# Of TEST-NET-1, which leads nowhere; to connect a datagram socket sends nothing.
_NOWHERE = ("192.0.2.1", 9)


def _probe(files: list[Path], limits: MediaLimits, _: Arguments, pipe: int, __: Confinement) -> None:
    messages.send_json(pipe, messages.HEADER, dataclasses.asdict(probe(files[0], limits)))


def _sound(files: list[Path], limits: MediaLimits, _: Arguments, pipe: int, __: Confinement) -> None:
    with SoundDecoder(files[0], limits) as sound:
        header = {"sample_rate": sound.sample_rate, "channels": sound.channels}
        messages.send_json(pipe, messages.HEADER, header)
        for block in sound.blocks():
            messages.send_sound(pipe, block)


def _video(files: list[Path], limits: MediaLimits, arguments: Arguments, pipe: int, _: Confinement) -> None:
    rounds = arguments["in_rounds"]
    for frame in video_frames(files[0], limits, arguments["fps"], arguments["most"], in_rounds=rounds):
        messages.send_picture(pipe, frame)


def _pictures(files: list[Path], limits: MediaLimits, arguments: Arguments, pipe: int, _: Confinement) -> None:
    source = files[0] if arguments["zip"] else files
    rounds = arguments["in_rounds"]
    for frame in picture_frames(source, limits, arguments["fps"], arguments["most"], in_rounds=rounds):
        messages.send_picture(pipe, frame)


def _try_out(_: list[Path], __: MediaLimits, arguments: Arguments, pipe: int, confinement: Confinement) -> None:
    """Try what must not work, and tell."""
    found = {
        **dataclasses.asdict(confinement),
        "reaches_network": _reaches_network(),
        "reads_files": _reads(Path(arguments["other_file"])),
        "starts_processes": _starts_processes(),
    }
    messages.send_json(pipe, messages.HEADER, found)


def _reaches_network() -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.connect(_NOWHERE)
    except OSError:
        return False
    return True


def _reads(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def _starts_processes() -> bool:
    try:
        child = os.fork()
    except OSError:
        return False
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True


TASKS: dict[str, Task] = {
    "probe": _probe,
    "sound": _sound,
    "video": _video,
    "pictures": _pictures,
    "try out": _try_out,
}
