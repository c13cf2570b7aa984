"""Confinement: what this process takes from itself before it reads the first byte of an upload.

Limits of memory, CPU time, open files and written bytes hold everywhere. Landlock, seccomp and an empty
network namespace are taken where the system offers them; `Confinement` says which.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy
import PIL

from worker.media.decoding import landlock, seccomp

# FFmpeg holds one or two, a zip one; the rest is for libraries that look something up.
MAX_OPEN_FILES = 32

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
# Where Python looks when these libraries import something late. They need not lie with the interpreter: an environment
# may borrow from another one, a distribution has folders of its own. No secret lies there.
_CODE = (
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *(Path(next(iter(library.__path__))).parent for library in (av, numpy, PIL)),
)


@dataclass(frozen=True, slots=True)
class Confinement:
    """Which of the walls that depend on the system stand.

    Attributes
    ----------
    landlock : bool
        No file can be opened but the upload's and Python's own.
    seccomp : bool
        No socket, no other program, no process.
    namespace : bool
        A network of its own, without any interface.
    """

    landlock: bool
    seccomp: bool
    namespace: bool


def die_with(parent: int) -> None:
    """End this process when the thread that started it does, for instance because the worker was killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It was quicker.
        os._exit(1)


def confine(memory_bytes: int, cpu_s: int, most_cpu_s: int, files: Iterable[Path]) -> Confinement:
    """Confine this process, which must have one thread only, for the rest of its life.

    Parameters
    ----------
    memory_bytes : int
        Address space.
    cpu_s, most_cpu_s : int
        CPU seconds after which it is ended; the worker may raise them from the first to the second.
    files : iterable of paths
        What it may read.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    _limit(resource.RLIMIT_AS, memory_bytes)
    # At the soft limit comes SIGXCPU, by which the worker knows the reason; at the hard one SIGKILL.
    most = _limit(resource.RLIMIT_CPU, most_cpu_s + 1)
    resource.setrlimit(resource.RLIMIT_CPU, (min(cpu_s, most - 1), most))
    # With a user namespace only where it must be: in it, root could no longer read the files of others.
    namespace = libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    is_landlocked = landlock.restrict(files, _CODE)
    # Last, for it denies what the others need.
    return Confinement(landlock=is_landlocked, seccomp=seccomp.restrict(), namespace=namespace)


def _limit(what: int, most: int) -> int:
    """Set a limit, or keep the lower one that is there; return which holds."""
    _, there = resource.getrlimit(what)
    most = most if there == resource.RLIM_INFINITY else min(most, there)
    resource.setrlimit(what, (most, most))
    return most
