"""Variants of the `nmf` solver that only the table of docs/benchmarks.md knows: group sparsity, exponents, hops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.adaptive import Fit, Settings, _smooth
from models.bases import BasesBank
from models.instruments import index_of
from models.masks import ratio_mask
from models.nmf import ShouldStop
from models.separators import AdaptiveNMF
from models.stft import N_FFT

_TINY = 1e-20


class GroupSparseFit(Fit):
    """A cost in step 1 on all of a player's activations in a frame together."""

    def __init__(self, *args: object, group: float) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._group = group

    def _activate(self, iterations: int) -> None:
        for _ in range(iterations):
            data, model = self._weights()
            cost = torch.full_like(self._H, self._settings.sparsity)
            # d/dh of log(e + sum of the group): what little a player has in a frame is the dearest.
            for side in self._sides():
                total = self._H[side].sum(dim=0, keepdim=True)
                cost[side] += self._group / (total + 0.01 * self._H.sum(dim=0).mean())
            self._H = self._H * (self._W.T @ data) / (self._W.T @ model + cost).clamp_min_(_TINY)
            share = self._settings.smoothing_share
            if share:
                self._H = self._H.pow(1.0 - share) * _smooth(self._H, self._settings.smoothing_frames).pow(share)


class VariantNMF(AdaptiveNMF):
    """`nmf` with a mask of another exponent, or with group sparsity."""

    def __init__(self, bank: BasesBank, *, exponent: float = 1.0, group: float = 0.0) -> None:
        super().__init__(bank)
        self._exponent, self._group = exponent, group

    def mask(
        self, V: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> NDArray[np.float32]:
        players = (V, self._bank.of(left), self._bank.of(right), self._settings, should_stop)
        fit = GroupSparseFit(*players, group=self._group) if self._group else Fit(*players)
        left_part, right_part = fit.run()
        return ratio_mask(left_part**self._exponent, right_part**self._exponent)


def separate_at_hop(mix: NDArray[np.float32], bank: BasesBank, names: tuple[str, str], hop: int) -> NDArray[np.float32]:
    """Separate a short clip (1, samples) in one window at another hop; smoothing lasts as long as at 2,048.

    Returns
    -------
    np.ndarray [shape=(2, samples), float32]
    """
    base = Settings()
    finer = 2048 // hop
    settings = replace(
        base,
        smoothing_frames=base.smoothing_frames * finer // 2 * 2 + 1 if finer > 1 else base.smoothing_frames,
        pruning_frames=base.pruning_frames * finer // 2 * 2 + 1 if finer > 1 else base.pruning_frames,
    )
    window = torch.hann_window(N_FFT)
    X = torch.stft(torch.from_numpy(mix), N_FFT, hop, window=window, return_complex=True)
    left, right = (bank.columns[index_of(name)] for name in names)
    share = ratio_mask(*Fit(X[0].abs().numpy(), left, right, settings).run())
    stem = torch.istft(X * torch.from_numpy(share), N_FFT, hop, window=window, length=mix.shape[1]).numpy()
    return np.concatenate([stem, mix - stem])
