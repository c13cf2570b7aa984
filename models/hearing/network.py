"""The sound network: from 5 s of a recording to how likely each of the eight sounds in it.

A convolutional network with attention over time (Kong et al. 2018, *Audio Set classification with attention model*),
98,000 parameters::

    levels (54, 192) ─ four 2-D convolutions ─> (14, 12 × 56) ─ fully connected ─> (14, 96)
        ─ for each class: weights over time, and scores ─> log-odds (8)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from models import tensors
from models.hearing.features import BANDS
from models.instruments import INSTRUMENTS

FORMAT = "duetto-hearing"
_CHANNELS = (12, 24, 40, 56)
_HIDDEN = 96
_DROPOUT = 0.3
_TEMPERATURE = "temperature"


class InstrumentNet(nn.Module):
    """Log-odds that an instrument sounds, for each of the eight."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = _CHANNELS
        self.convolutions = nn.Sequential(
            _layer(1, first, (3, 7), (2, 2)),
            _layer(first, second, (3, 3), (1, 2)),
            _layer(second, third, (3, 3), (2, 2)),
            _layer(third, fourth, (3, 3), (1, 2)),
        )
        self.dropout = nn.Dropout(_DROPOUT)
        self.hidden = nn.Linear(fourth * BANDS // 16, _HIDDEN)
        self.scores = nn.Linear(_HIDDEN, len(INSTRUMENTS))
        self.attention = nn.Linear(_HIDDEN, len(INSTRUMENTS))

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        """Return the log-odds.

        Parameters
        ----------
        levels : torch.Tensor [shape=(batch, frames, BANDS), float32]
            As :func:`models.hearing.features.as_levels` gives them.

        Returns
        -------
        torch.Tensor [shape=(batch, 8), float32]
        """
        maps = self.convolutions(levels[:, None])
        # (batch, channels, frames, bands) -> (batch, frames, channels * bands)
        x = maps.permute(0, 2, 1, 3).flatten(2)
        x = torch.relu(self.hidden(self.dropout(x)))
        weights = self.attention(x).softmax(dim=1)
        return cast(torch.Tensor, (weights * self.scores(self.dropout(x))).sum(dim=1))


def save_network(path: Path, network: InstrumentNet, temperature: float, provenance: dict[str, Any]) -> None:
    """Write weights, temperature and provenance to a safetensors file, whole or not at all."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    tensors.save(path, state | {_TEMPERATURE: torch.tensor(temperature)}, FORMAT, provenance)


def load_network(path: Path) -> tuple[InstrumentNet, float, str]:
    """Read a network, ready for inference, its temperature, and the file's SHA-256.

    Raises
    ------
    InvalidBases
        If the file is damaged, of another format or of another geometry.
    """
    stored = tensors.load(path, FORMAT)
    state = dict(stored.tensors)
    temperature = state.pop(_TEMPERATURE, None)
    network = InstrumentNet()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise stored.mismatch("the layers of the sound network") from error
    if temperature is None or temperature.numel() != 1 or not float(temperature) > 0.0:
        raise stored.mismatch("the temperature of the sound network")
    return network.eval(), float(temperature), stored.sha256


def _layer(channels: int, out: int, kernel: tuple[int, int], stride: tuple[int, int]) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        # No bias: the batch norm that follows would take it out again.
        nn.Conv2d(channels, out, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )
