"""What one case of the fuzzer is: the bytes that go over the wire, and what may come of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random


@dataclass(frozen=True)
class Upload:
    """One file of a form: its field, the client's name for it, its bytes."""

    field: str
    filename: str
    content: bytes


@dataclass(frozen=True)
class Fragment:
    """Bytes to send, after `pause_s` seconds, `repeat` times over."""

    data: bytes
    pause_s: float = 0.0
    repeat: int = 1


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes
    ----------
    number : which of the run
    name : what it tries, for people
    fragments : the request, head included, as it is sent
    expected : the outcomes that are right (`tests.fuzz.judge`); none: any that is no fault of the server
    may_hang_up : whether a closed connection without an answer is right too: the request is no whole one
    """

    number: int
    name: str
    fragments: tuple[Fragment, ...]
    expected: frozenset[str] = frozenset()
    may_hang_up: bool = False

    def blocks(self) -> Iterator[Fragment]:
        """Yield what to send, repetitions spelt out."""
        for fragment in self.fragments:
            for _ in range(fragment.repeat):
                yield fragment


@dataclass(frozen=True)
class Hostile:
    """What a catalogue's maker returns: files with options, and the outcomes that are right."""

    files: tuple[Upload, ...]
    expected: frozenset[str] = frozenset()
    options: dict[str, str] = field(default_factory=dict)


def hostile(field_name: str, filename: str, content: bytes, *expected: str) -> Hostile:
    """Return a single hostile file."""
    return Hostile((Upload(field_name, filename, content),), frozenset(expected))


def chance(rng: Random, share: float) -> bool:
    """Return True in `share` of all calls."""
    return rng.random() < share


def joined(parts: Iterable[bytes]) -> bytes:
    """Return the parts as one."""
    return b"".join(parts)
