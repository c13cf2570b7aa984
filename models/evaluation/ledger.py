"""What is finished, kept with a fingerprint of all that it depends on: a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def fingerprint(*facts: object) -> str:
    """Return a SHA-256 over facts: what JSON can hold, and anything else by its `repr`."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=repr).encode()).hexdigest()


def files_sha256(paths: Iterable[Path]) -> str:
    """Return a SHA-256 over the bytes of files, in order."""
    return fingerprint(*(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths))


def code_sha256(*folders: Path) -> str:
    """Return a SHA-256 over the Python source below folders: the version that matters while one changes it."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class Ledger:
    """Records under a folder, a file each. Several processes may write at once, each its own keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, wanted: str) -> dict[str, Any] | None:
        """Return the record of `key`, or None if there is none, it is damaged, or its fingerprint is not `wanted`."""
        try:
            entry = json.loads((self._folder / f"{key}.json").read_text("utf-8"))
            record = entry["record"] if entry["fingerprint"] == wanted else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if isinstance(record, dict) else None

    def put(self, key: str, wanted: str, record: dict[str, Any]) -> None:
        """Keep a record under a fingerprint, whole or not at all; it replaces what `key` had."""
        path = self._folder / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        # Infinity is not JSON, but Python reads what it wrote; no one else reads these files.
        partial.write_text(json.dumps({"fingerprint": wanted, "record": record}), "utf-8")
        partial.replace(path)
