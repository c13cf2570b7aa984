"""Who plays where, by picture and sound together: any cut of the frame, several shots, honest about doubt."""

from __future__ import annotations

from models.players.fused import FusedLabels, label_players

__all__ = ["FusedLabels", "label_players"]
