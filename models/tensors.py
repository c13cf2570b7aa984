"""Files of tensors: safetensors with a format name and a provenance record in the header.

Nothing in such a file is ever executed, unlike a pickle. The provenance is a JSON object that says what
the tensors were learnt from, under which licences, by which command and seed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.errors import InvalidBases

FORMAT_VERSION = "1"
_HEADER_KEY = "duetto"


@dataclass(frozen=True)
class Stored:
    """What a file held. `sha256` is of the whole file, in hexadecimal."""

    name: str
    tensors: dict[str, torch.Tensor]
    provenance: dict[str, Any]
    sha256: str

    def mismatch(self, wanted: str) -> InvalidBases:
        """The error to raise when the tensors are not what the caller needs."""
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(self.tensors.items()))
        return InvalidBases(f"{self.name} does not hold {wanted}; it holds {shapes or 'nothing'}")


def save(path: Path, tensors: dict[str, torch.Tensor], format_name: str, provenance: dict[str, Any]) -> None:
    """Write tensors and provenance under a temporary name, then rename: `path` is whole or absent."""
    header = {"format": format_name, "version": FORMAT_VERSION, "provenance": provenance}
    # One key: safetensors writes several in an order that changes from run to run.
    metadata = {_HEADER_KEY: json.dumps(header, sort_keys=True, ensure_ascii=False)}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata=metadata)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load(path: Path, format_name: str) -> Stored:
    """Read a file that :func:`save` wrote.

    Raises
    ------
    InvalidBases
        If it is absent, damaged, or of another format or version.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise InvalidBases(f"there is no file {path.name}; `duetto train` makes one") from None
    except (OSError, SafetensorError) as error:
        raise InvalidBases(f"{path.name} is damaged or no safetensors file; copy it anew") from error
    try:
        header: dict[str, Any] = json.loads(metadata.get(_HEADER_KEY, "{}"))
    except json.JSONDecodeError as error:
        raise InvalidBases(f"the header of {path.name} is damaged; copy the file anew") from error
    found = f"{header.get('format', 'no format')} version {header.get('version', '?')}"
    if found != f"{format_name} version {FORMAT_VERSION}":
        raise InvalidBases(f"{path.name} is {found}, wanted is {format_name} version {FORMAT_VERSION}")
    return Stored(name=path.name, tensors=tensors, provenance=header["provenance"], sha256=digest)
