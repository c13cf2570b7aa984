"""Landlock: takes from this process every file but those named, TCP, and signals to others (Linux 5.13 and later).

The constants are those of ``linux/landlock.h``; the numbers of the calls are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
# Rights over files by the version of the interface in which the last of them came.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def restrict(files: Iterable[Path], folders: Iterable[Path]) -> bool:
    """Let this thread, and those that it starts, read only `files` and what lies in `folders`. For good.

    What is not there is passed over. Needs ``PR_SET_NO_NEW_PRIVS``.

    Returns
    -------
    bool
        Whether it holds: False where the system has no Landlock.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    rules = _Ruleset(
        files=(1 << _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]) - 1,
        network=_BIND_AND_CONNECT_TCP if version >= 4 else 0,
        scopes=_ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0,
    )
    # An older system refuses a structure with fields that it does not know.
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    handle = libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if handle < 0:
        return False
    try:
        for path in files:
            _allow(libc, handle, path, _READ_FILE)
        for folder in folders:
            _allow(libc, handle, folder, _READ_FILE | _READ_DIR)
        return bool(libc.syscall(_RESTRICT_SELF, handle, 0) == 0)
    finally:
        os.close(handle)


def _allow(libc: ctypes.CDLL, handle: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _PathBeneath(rights, place)
        libc.syscall(_ADD_RULE, handle, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)
