"""Processes of this machine as /proc shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
KIB_PER_MIB: Final = 1024


def is_running(pid: int) -> bool:
    """Return whether the process is there and no zombie."""
    return _parent(pid) is not None


def children(pid: int) -> list[int]:
    """Return the direct children of `pid` that run, oldest first."""
    ids = sorted(int(folder.name) for folder in _PROC.glob("[0-9]*"))
    return [child for child in ids if _parent(child) == pid]


def tree(pid: int) -> list[int]:
    """Return `pid` and every process below it."""
    found = [pid]
    for one in found:
        found += children(one)
    return found


def _parent(pid: int) -> int | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[1])


@dataclass(frozen=True, slots=True)
class Memory:
    """What processes hold, in MiB: all that is resident, and their share of it (`pss`, shared pages divided)."""

    rss: float
    pss: float


def memory(pids: list[int]) -> Memory:
    """Return what these processes hold together. One that ends meanwhile counts as nothing."""
    rss = pss = 0
    for pid in pids:
        try:
            lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {words[0]: int(words[1]) for words in map(str.split, lines[1:])}
        rss, pss = rss + sizes["Rss:"], pss + sizes["Pss:"]
    return Memory(rss / KIB_PER_MIB, pss / KIB_PER_MIB)
