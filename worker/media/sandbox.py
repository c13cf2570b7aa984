"""Sandbox: which of its walls stand on this system, found by trying, for those who run it (`duetto doctor`)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from worker.media import messages
from worker.media.limits import MediaLimits
from worker.media.messages import Nonsense
from worker.media.process import DecoderProcess

# A file that every system has and that no decoder needs.
_OTHER_FILE = Path("/etc/passwd")

_NETWORK = (
    "A decoder that was taken over could reach the network: install libseccomp (libseccomp2), or allow "
    "unprivileged user namespaces."
)
_FILES = (
    "A decoder that was taken over could read the worker's files: use a kernel with Landlock (5.13 or later), "
    "and a container runtime that lets its calls through."
)
_PROCESSES = "A decoder that was taken over could start programs: install libseccomp (libseccomp2)."


@dataclass(frozen=True, slots=True)
class Walls:
    """What holds around the process that decodes, and what it could do in spite of it.

    Limits of memory, CPU time, open files and written bytes hold on every system and are not listed.

    Attributes
    ----------
    landlock, seccomp, namespace : bool
        Whether the system grants it (`worker.media.decoding.confinement`).
    reaches_network, reads_files, starts_processes : bool
        What worked when it was tried. Each should be false.
    """

    landlock: bool
    seccomp: bool
    namespace: bool
    reaches_network: bool
    reads_files: bool
    starts_processes: bool

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is missing, a sentence each: what could happen and what to do. Empty if nothing is."""
        found = ((self.reaches_network, _NETWORK), (self.reads_files, _FILES), (self.starts_processes, _PROCESSES))
        return tuple(gap for is_open, gap in found if is_open)


def tried_out(limits: MediaLimits) -> Walls:
    """Start a process as for an upload, let it try what it must not, and return what came of it.

    Raises
    ------
    DecodingLimit, DecoderCrashed, OutOfMemory
        If none can be started: see `worker.media.process.DecoderProcess.receive`.
    """
    with DecoderProcess("try out", [], limits, other_file=str(_OTHER_FILE)) as decoder:
        message = decoder.receive({messages.HEADER: messages.MAX_JSON_BYTES})
        try:
            return _as_walls(messages.as_json(message[1] if message else bytearray()))
        except Nonsense as nonsense:
            raise decoder.refused(str(nonsense)) from None


def _as_walls(said: dict[str, Any]) -> Walls:
    if said.keys() != {field.name for field in fields(Walls)}:
        raise Nonsense("other fields than those of the walls")
    return Walls(**{name: value is True for name, value in said.items()})
