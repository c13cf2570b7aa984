"""The record that travels inside bases and weights: what they were learnt from, how, and how well.

It names no folder of the machine that trained.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.instruments import INSTRUMENTS
from models.training.networks import Accuracy
from models.training.segments import Segments

_PACKAGES = ("duetto", "torch", "numpy", "librosa", "soundfile", "scipy", "safetensors")
_DIGITS = 4


def provenance(
    *,
    command: str,
    parameters: dict[str, Any],
    sources: list[dict[str, Any]],
    segments: Segments,
    held_out: NDArray[np.bool_],
    accuracy: Accuracy,
    bases: dict[str, int],
) -> dict[str, Any]:
    """Return the record, ready for JSON."""
    classes: dict[str, Any] = {}
    for instrument in INSTRUMENTS:
        mine = segments.labels == instrument.index
        if not mine.any():
            continue
        origins = Counter(segments.solos[index].origin for index in segments.recordings[mine])
        train, held = accuracy.per_class[instrument.index]
        classes[instrument.name] = {
            "segments_train": int((mine & ~held_out).sum()),
            "segments_held_out": int((mine & held_out).sum()),
            "segments_by_origin": dict(sorted(origins.items())),
            "accuracy_train": round(train, _DIGITS),
            "accuracy_held_out": round(held, _DIGITS),
            "bases": bases[instrument.name],
        }
    return {
        "made_by": "duetto train",
        "command": command,
        "date": today(),
        "parameters": parameters,
        "split": "by recording",
        "accuracy": {"train": round(accuracy.train, _DIGITS), "held_out": round(accuracy.held_out, _DIGITS)},
        "classes": classes,
        "sources": sources,
        "inputs_sha256": segments.sha256,
        "versions": made_with(),
    }


def today() -> str:
    """Return the day (UTC), or that of SOURCE_DATE_EPOCH, with which builds are repeated to the byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.now(datetime.UTC)
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch and epoch.isdigit() else now
    return moment.date().isoformat()


def made_with() -> dict[str, str]:
    """Return the versions of what a training's result depends on."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "from source"
