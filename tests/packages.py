"""Packages that add separators and taggers, written into a folder as pip would install them."""

from __future__ import annotations

import itertools
from pathlib import Path

_number = itertools.count()

SEPARATOR = """
import numpy as np

class Made:
    block_frames, overlap_frames = 20, 4
    parameters, provenance = {"gain": 0.25}, {"learnt_from": "nothing"}

    def __init__(self, surroundings):
        self.surroundings = surroundings
        self.unpicklable = lambda: None

    def mask(self, V, left, right, should_stop=None):
        return np.full(V.shape, 0.25)
"""
SOUND_SEPARATOR = """
class Made:
    sample_rate, block_samples, overlap_samples = 16_000, 16_000, 4_000
    parameters, provenance = {}, {}

    def __init__(self, surroundings):
        pass

    def stem(self, sound, left, right, should_stop=None):
        return sound * 0.25
"""
TAGGER = """
import numpy as np

class Made:
    provenance = {"source": "chance", "name": "its own idea"}

    def __init__(self, surroundings):
        pass

    def prepare(self, picture):
        return picture[:4, :4]

    def probabilities(self, prepared):
        return np.tile(np.linspace(0.05, 0.4, 8), (len(prepared), 1))
"""


def install(folder: Path, package: str, source: str, **added: str) -> str:
    """Install `package` 1.0 with one module of that source; `added`: for "separators" and "taggers" the name of one.

    Returns the module's name. What the module calls `Made` is the plugin's factory.
    """
    module = f"added_{next(_number)}"
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    about = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    entries = "".join(f"[duetto.{group}]\n{name} = {module}:Made\n" for group, name in added.items())
    (about / "entry_points.txt").write_text(entries, encoding="utf-8")
    return module
