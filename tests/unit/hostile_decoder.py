"""A decoder that misbehaves, for tests: ``python -m tests.unit.hostile_decoder HOW`` in the place of the true one.

It is confined as the true one is. Nothing of the service can start it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from worker.media import messages
from worker.media.decoding.confinement import Confinement
from worker.media.decoding.serve import Arguments, serve
from worker.media.limits import MediaLimits


def crash(pipe: int) -> None:
    """Read at address zero, as a broken codec does."""
    ctypes.string_at(0)


def abort(pipe: int) -> None:
    os.abort()


def leave(pipe: int) -> None:
    """Go without a word."""
    os._exit(0)


def allocate(pipe: int) -> None:
    """Take memory until there is none."""
    held = []
    while True:
        held.append(np.ones(1 << 22))


def spin(pipe: int) -> None:
    while True:
        pass


def sleep(pipe: int) -> None:
    while True:
        time.sleep(1)


def half_a_message(pipe: int) -> None:
    os.write(pipe, messages.HEAD.pack(messages.SOUND, 100) + b"abc")


def endless_message(pipe: int) -> None:
    """Announce more than is allowed; the worker must not allocate it."""
    os.write(pipe, messages.HEAD.pack(messages.SOUND, 0xFFFFFFFF))
    sleep(pipe)


def noise(pipe: int) -> None:
    os.write(pipe, b"PK\x03\x04" * 1000)


def pickle(pipe: int) -> None:
    messages.send(pipe, messages.HEADER, [b"\x80\x04\x95."])


def other_fields(pipe: int) -> None:
    messages.send_json(pipe, messages.HEADER, {"sample_rate": -1, "channels": 2, "format": "../../x"})


def other_code(pipe: int) -> None:
    messages.send_json(pipe, messages.FAILURE, {"code": "canceled", "message": "x"})


def odd_message(pipe: int) -> None:
    messages.send_json(pipe, messages.FAILURE, {"code": "media_unreadable", "message": "a\x1b[31m\n" * 1000})


def _begun(pipe: int) -> None:
    messages.send_json(pipe, messages.HEADER, {"sample_rate": 8000, "channels": 1})


def crash_midway(pipe: int) -> None:
    _begun(pipe)
    messages.send_sound(pipe, np.zeros((1, 8000), np.float32))
    crash(pipe)


def begin_and_spin(pipe: int) -> None:
    _begun(pipe)
    spin(pipe)


def not_a_number(pipe: int) -> None:
    _begun(pipe)
    messages.send_sound(pipe, np.full((1, 8000), np.nan, np.float32))


def odd_bytes(pipe: int) -> None:
    _begun(pipe)
    messages.send(pipe, messages.SOUND, [b"abc"])


def endless_sound(pipe: int) -> None:
    _begun(pipe)
    while True:
        messages.send_sound(pipe, np.zeros((1, 8000), np.float32))


def wrong_size(pipe: int) -> None:
    messages.send(pipe, messages.PICTURE, [struct.pack("<dII", 0.0, 1280, 1280), bytes(12)])


def endless_pictures(pipe: int) -> None:
    while True:
        messages.send(pipe, messages.PICTURE, [struct.pack("<dII", 0.0, 2, 2), bytes(12)])


def tries(pipe: int, upload: Path) -> None:
    """What a taken-over decoder would try: tell what of it worked."""
    parent = os.getppid()

    def works(act: Any) -> bool:
        try:
            act()
        except (OSError, ValueError):
            return False
        return True

    written = upload.with_name("written")
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    worked = {
        "other file": works(lambda: Path("/etc/passwd").read_bytes()),
        "environment of the worker": works(lambda: Path(f"/proc/{parent}/environ").read_bytes()),
        "memory of the worker": works(lambda: Path(f"/proc/{parent}/maps").read_text("ascii")),
        "writing a file": works(lambda: written.write_bytes(b"x")),
        "writing to the upload": works(lambda: upload.write_bytes(b"x")),
        "signal to the worker": works(lambda: os.kill(parent, 0)),
        "process": works(os.fork),
        "program": works(lambda: os.execv("/bin/true", ["true"])),  # noqa: S606
        "more CPU time": works(lambda: resource.setrlimit(resource.RLIMIT_CPU, (soft + 1, hard))),
    }
    messages.send_json(pipe, messages.HEADER, {"worked": worked, "environment": sorted(os.environ)})


def deliver_with_effort(pipe: int) -> None:
    """Take 0.2 s of CPU time for each second of sound."""
    _begun(pipe)
    for i in range(8):
        while time.process_time() < 0.5 + 0.2 * i:
            pass
        messages.send_sound(pipe, np.zeros((1, 8000), np.float32))
    messages.send(pipe, messages.END)


def main() -> None:
    """Answer whatever is asked by misbehaving in the way that the command line names."""
    act = globals()[sys.argv[1]]

    def task(files: list[Path], _: MediaLimits, __: Arguments, pipe: int, ___: Confinement) -> None:
        if act is tries:
            tries(pipe, files[0])
        else:
            act(pipe)

    serve(dict.fromkeys(("probe", "sound", "video", "pictures", "tries"), task))


if __name__ == "__main__":
    main()
