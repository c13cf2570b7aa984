"""Separators and taggers that other packages add (found by app/plugins.py): loaded, checked, kept to their word."""

from __future__ import annotations

from worker.plugins.loading import load_separator, load_tagger

__all__ = ["load_separator", "load_tagger"]
