"""Pictures of a separation: who was seen where and how surely, spectrograms. PNGs that say in words what they show."""

from __future__ import annotations

from models.pictures.picture import Picture, Plot
from models.pictures.probabilities import draw_probabilities
from models.pictures.scene import draw_scene
from models.pictures.spectrogram import SpectrogramStream, draw_spectrograms

__all__ = ["Picture", "Plot", "SpectrogramStream", "draw_probabilities", "draw_scene", "draw_spectrograms"]
