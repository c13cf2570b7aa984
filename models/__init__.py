"""The science of Duetto, a plain library: arrays in, arrays out.

Knows no HTTP, no queue and no files other than its own weights. Conventions, kept everywhere:

- Sound is float32, full scale 1.0, axis order (channels, samples); spectra are (channels, freq, frames).
- A magnitude V is (freq, frames), bases W are (freq, bases), activations H are (bases, frames).
- Pictures are uint8 RGB, (height, width, 3).
- Instruments keep the order of :mod:`models.instruments`.
- Long calls take `progress` (a callable given 0..1) and `should_stop` (a callable returning bool).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.bases import BasesBank, load_bases, load_default_bases
    from models.duet import DuetLabels, label_duet
    from models.hearing import load_listener
    from models.instruments import INSTRUMENTS
    from models.metrics import bss_eval
    from models.pictures import draw_probabilities, draw_scene, draw_spectrograms
    from models.players import label_players
    from models.separation import separate, separate_blocks
    from models.separators import get_separator
    from models.taggers import load_tagger

# Where each public name lives. They are imported at first use, so that `import models` stays cheap.
_HOMES = {
    "BasesBank": "models.bases",
    "load_bases": "models.bases",
    "load_default_bases": "models.bases",
    "DuetLabels": "models.duet",
    "label_duet": "models.duet",
    "label_players": "models.players",
    "load_listener": "models.hearing",
    "INSTRUMENTS": "models.instruments",
    "draw_probabilities": "models.pictures",
    "draw_scene": "models.pictures",
    "draw_spectrograms": "models.pictures",
    "bss_eval": "models.metrics",
    "separate": "models.separation",
    "separate_blocks": "models.separation",
    "get_separator": "models.separators",
    "load_tagger": "models.taggers",
}

__all__ = [
    "INSTRUMENTS",
    "BasesBank",
    "DuetLabels",
    "bss_eval",
    "draw_probabilities",
    "draw_scene",
    "draw_spectrograms",
    "get_separator",
    "label_duet",
    "label_players",
    "load_bases",
    "load_default_bases",
    "load_listener",
    "load_tagger",
    "separate",
    "separate_blocks",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'models' has no attribute {name!r}")
