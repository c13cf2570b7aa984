"""A finding: what one check of `duetto doctor` has seen."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARNING = "warning"  # it works, but will not always
    PROBLEM = "problem"  # jobs fail, are refused or can be lost


class Finding(NamedTuple):
    """What was looked at, how it stands, and in the same sentence what to do about it."""

    part: str
    level: Level
    text: str


Findings = Iterator[Finding]


def ok(part: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(part, Level.OK, text)


def warning(part: str, text: str) -> Finding:
    """Return a finding that something is not as it should be."""
    return Finding(part, Level.WARNING, text)


def problem(part: str, text: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(part, Level.PROBLEM, text)
