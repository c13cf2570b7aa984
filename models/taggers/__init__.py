"""Picture networks by name, behind one protocol: pictures in, probabilities of the eight instruments out."""

from __future__ import annotations

from models.taggers.loading import load_tagger
from models.taggers.protocol import SceneTagger, Tagger
from models.taggers.registry import AUTO, NAMES, REGISTRY, TaggerEntry

__all__ = ["AUTO", "NAMES", "REGISTRY", "SceneTagger", "Tagger", "TaggerEntry", "load_tagger"]
