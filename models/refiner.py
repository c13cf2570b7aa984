"""The network that corrects guided NMF's mask: a U-Net over logarithmic frequency and time, told who the players are.

It sees the mix, guided NMF's two stems and the two magnitudes they were made of, and says for each band and frame how
far to trust NMF's mask and which way to move it:

    mask = sigmoid(trust * logit(mask_nmf) + correction)

So an untrained network leaves the mask as it is. On an axis of logarithmic frequency a note's partials lie at fixed
distances; each band also sees the bands an octave and a twelfth above and below it, so that what a partial's kin do
is near even to a small convolution. Told apart by players' names: feature-wise scaling (Perez et al. 2018, FiLM) as
in the conditioned U-Net of Meseguer-Brocal and Peeters (2019).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models import tensors
from models.bases import WEIGHTS
from models.instruments import NAMES
from models.log_bands import BANDS_PER_OCTAVE, N_BANDS, to_bands, to_rows

FORMAT = "duetto-refiner"
N_FEATURES = 5
REFINED_ROWS = 1024
"""Rows from 0 to 11 kHz; above, guided NMF's mask stands."""
CHANNELS = (16, 32, 48, 64)
MULTIPLE = 4  # of frames, which pooling halves twice

_FLOOR_DB = -80.0
_SILENCE = -1.0  # the value of a feature at the floor; full level is 1
_KIN = tuple(round(sign * interval * BANDS_PER_OCTAVE) for interval in (1.0, 1.585) for sign in (-1, 1))
_NAME_SIZE = 16
_GRU_BANDS, _GRU_SIZE = 8, 128
_MOST_SURE = 1e-3  # a mask nearer to 0 or 1 counts as this near
_TRUST_RANGE = (-3.0, 1.5)  # of its logarithm


def features(V: torch.Tensor, share: torch.Tensor, V_left: torch.Tensor, V_right: torch.Tensor) -> torch.Tensor:
    """Return what the network sees of a window.

    Parameters
    ----------
    V, share, V_left, V_right : torch.Tensor [shape=(freq, frames), float32]
        The mix's magnitude, the left player's share of it, and the model's two magnitudes, up to a common scale.

    Returns
    -------
    torch.Tensor [shape=(N_FEATURES, N_BANDS, frames), float32]
        Mix, left stem, right stem, left model, right model: -1 is 80 dB below the mix's loudest band, 1 as loud.
    """
    # By NumPy, whose sums do not depend on how many threads there are.
    total, left, right = (float(S.numpy().sum(dtype=np.float64)) for S in (V, V_left, V_right))
    scale = total / max(left + right, 1e-20)
    bands = torch.stack([to_bands(S) for S in (V, V * share, V * (1.0 - share), V_left * scale, V_right * scale)])
    # Sound may lie beyond all bands.
    loudest = bands[0].max().clamp_min(torch.finfo(bands.dtype).tiny)
    level_db = 20.0 * torch.log10(bands / loudest + 10.0 ** (_FLOOR_DB / 20.0))
    return (1.0 - level_db / (_FLOOR_DB / 2.0)).clamp_min(_SILENCE)


class Refiner(nn.Module):
    """Features (batch, N_FEATURES, N_BANDS, frames) and names (batch, 2) int64 to (batch, 2, N_BANDS, frames):
    the correction, and the logarithm of the trust. Frames are a multiple of `MULTIPLE`.
    """

    def __init__(self, channels: tuple[int, int, int, int] = CHANNELS) -> None:
        super().__init__()
        a, b, c, d = channels
        self.names = nn.Embedding(len(NAMES), _NAME_SIZE)
        self.down1 = _Pair(N_FEATURES * (1 + len(_KIN)) + 1, a)
        self.down2, self.down3, self.down4 = _Pair(a, b), _Pair(b, c), _Pair(c, d)
        self.memory = nn.GRU(_GRU_BANDS * d, _GRU_SIZE, batch_first=True, bidirectional=True)
        self.recalled = nn.Linear(2 * _GRU_SIZE, _GRU_BANDS * d)
        self.up3, self.up2 = _Layer(d + c, c), _Layer(c + b, b)
        self.up1 = _Pair(b + a, a)
        self.out = nn.Conv2d(a, 2, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias if self.out.bias is not None else torch.zeros(0))
        self.register_buffer("height", torch.linspace(-1.0, 1.0, N_BANDS)[None, None, :, None], persistent=False)

    def forward(self, x: torch.Tensor, names: torch.Tensor) -> torch.Tensor:
        # (batch, 2) -> (batch, 2, _NAME_SIZE) -> (batch, 2 * _NAME_SIZE)
        who = self.names(names).flatten(1)
        height: torch.Tensor = self.get_buffer("height")
        x = torch.cat([with_kin(x), height.expand(x.shape[0], 1, -1, x.shape[3])], dim=1)
        x1 = self.down1(x.contiguous(memory_format=torch.channels_last), who)
        x2 = self.down2(nn.functional.max_pool2d(x1, (2, 1)), who)
        x3 = self.down3(nn.functional.max_pool2d(x2, (2, 2)), who)
        x4 = self.down4(nn.functional.max_pool2d(x3, (2, 2)), who)
        x4 = x4 + self._remember(x4)
        x3 = self.up3(torch.cat([_grown(x4, 2), x3], dim=1), who)
        x2 = self.up2(torch.cat([_grown(x3, 2), x2], dim=1), who)
        x1 = self.up1(torch.cat([_grown(x2, 1), x1], dim=1), who)
        # A product, and no convolution, whose last bits depend on how many threads there are.
        out = nn.functional.linear(x1.permute(0, 2, 3, 1), self.out.weight[:, :, 0, 0], self.out.bias)
        return out.permute(0, 3, 1, 2)

    def _remember(self, x: torch.Tensor) -> torch.Tensor:
        """What was heard long before and will be long after, from a recurrent layer over coarse bands."""
        coarse = x.shape[2] // _GRU_BANDS
        pooled = nn.functional.avg_pool2d(x, (coarse, 1))
        # (batch, d, 8, frames) -> (batch, frames, d * 8)
        heard, _ = self.memory(pooled.flatten(1, 2).transpose(1, 2))
        # and back
        recalled = self.recalled(heard).transpose(1, 2).unflatten(1, pooled.shape[1:3])
        return nn.functional.interpolate(recalled, scale_factor=(coarse, 1))


def with_kin(x: torch.Tensor) -> torch.Tensor:
    """Each band beside those an octave and a twelfth below and above: (batch, n, bands, frames) to (batch, 5 n, ...).

    Silence becomes 0, which is also what lies beyond the lowest and highest band.
    """
    x = x - _SILENCE
    moved = [nn.functional.pad(x, (0, 0, max(-k, 0), max(k, 0))) for k in _KIN]
    return torch.cat([x, *(m[:, :, max(k, 0) : max(k, 0) + N_BANDS] for m, k in zip(moved, _KIN, strict=True))], dim=1)


def refined(share: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Apply the network's output (batch, 2, N_BANDS, frames) to guided NMF's share (batch, rows, frames)."""
    correction, trust = to_rows(out, share.shape[1]).unbind(1)
    sure = torch.logit(share.clamp(_MOST_SURE, 1.0 - _MOST_SURE))
    return torch.sigmoid(trust.clamp(*_TRUST_RANGE).exp() * sure + correction)


def swap_players(x: torch.Tensor) -> torch.Tensor:
    """Features as if left were right: (batch, N_FEATURES, ...) to the same."""
    return x[:, [0, 2, 1, 4, 3]]


def save_refiner(path: Path, network: Refiner, provenance: dict[str, Any]) -> None:
    """Write weights in half precision, with provenance, to a safetensors file, whole or not at all."""
    state = {name: _stored(tensor) for name, tensor in network.state_dict().items()}
    tensors.save(path, state, FORMAT, provenance)


def load_refiner(path: Path) -> tuple[Refiner, tensors.Stored]:
    """Read a network, ready for inference, and the file it came from.

    Raises
    ------
    InvalidBases
        If the file is missing, damaged, of another format or of another geometry.
    """
    stored = tensors.load(path, FORMAT)
    network = Refiner()
    try:
        network.load_state_dict({name: _working(tensor) for name, tensor in stored.tensors.items()})
    except RuntimeError as error:
        raise stored.mismatch("the layers of the refining network") from error
    return network.eval(), stored


@lru_cache(maxsize=1)
def load_default_refiner() -> tuple[Refiner, tensors.Stored]:
    """Return the network that ships with Duetto, read once a process; errors as :func:`load_refiner`."""
    return load_refiner(WEIGHTS / "learned.safetensors")


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.to(torch.float16) if tensor.is_floating_point() else tensor


def _working(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


class _Layer(nn.Module):
    """Convolution, normalisation, scaling by the players' names, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.film = nn.Linear(2 * _NAME_SIZE, 2 * outputs)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: torch.Tensor, who: torch.Tensor) -> torch.Tensor:
        gain, shift = self.film(who)[:, :, None, None].chunk(2, dim=1)
        return torch.relu(self.norm(self.convolution(x)) * (1.0 + gain) + shift)


class _Pair(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = _Layer(inputs, outputs), _Layer(outputs, outputs)

    def forward(self, x: torch.Tensor, who: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(self.first(x, who), who)
        return out


def _grown(x: torch.Tensor, time: int) -> torch.Tensor:
    return nn.functional.interpolate(x, scale_factor=(2, time))
