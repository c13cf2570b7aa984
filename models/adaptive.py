"""Guided NMF that fits itself to the recording, within limits.

V ~ e_left * (W_left H_left) + e_right * (W_right H_right), with V (bands, frames), W (bands, bases) out of
a bank, H (bases, frames), and e (bands, 1) one smooth curve a player. Steps, each by multiplicative
updates for a beta divergence (:mod:`models.nmf`):

1. activations, each at a small cost (sparsity: few spectra explain a frame) and smoothed over time: a note
   lasts longer than a frame (Virtanen 2007, section II.B, has both aims as cost terms);
2. pruning: a player sounds few of his spectra at once, so only those strongest around a frame stay; spectra that
   are nowhere near it are dropped on the way there, so that most steps are short;
3. equalising: e, the recording's room and microphone, as a positive sum of smooth triangles (a filter in
   the sense of the source-filter models of Durrieu et al. 2010);
4. adapting: each spectrum may follow the recording, held back by a prior that weighs as much as PRIOR
   units of activation, and never further than 3 times from where it began.

Everything is convex only in step 1; started from the bank, steps 3 and 4 stay near it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.bands import equaliser, merge_rows, spread_bands
from models.device import CPU_DEVICE
from models.errors import Stopped
from models.nmf import ShouldStop

_FLOOR = 1e-6  # of the loudest point: keeps divisions finite, 120 dB down
_TINY = 1e-20
_STEP = 0.5  # exponent of updates of curves and spectra, which keeps them from overshooting
_EQUALISER_RANGE = 3.0  # a curve may lift or lower a region by this factor at most (10 dB)
_EQUALISER_STEP = 5.0  # and by this much in one update
_SPECTRUM_RANGE = 3.0  # a spectrum's bands stay within this factor of the bank's
_SPECTRUM_STEP = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How the model is fitted. Defaults are those of docs/benchmarks.md's table."""

    beta: float = 0.3
    """Of the divergence: below 1, quiet partials count for more than they do in Kullback-Leibler."""
    iterations: int = 20
    thinnings: tuple[tuple[int, int], ...] = ((4, 100), (8, 40))
    """After so many iterations only those spectra go on that are among so many strongest of a player somewhere."""
    sparsity: float = 3.0
    """Cost of a unit of activation, where the recording's loudest point is 1 and each spectrum sums to 1."""
    smoothing_frames: int = 7
    smoothing_share: float = 0.5
    """How far an activation is drawn to the mean of its neighbours, as an exponent (0: not, 1: all the way)."""
    spectra_at_once: int = 20
    """Spectra a player a frame that pruning leaves."""
    pruning_frames: int = 9
    pruned_iterations: int = 15
    equaliser_points: int = 32
    equaliser_iterations: int = 12
    equaliser_prior: float = 1.0
    adaptations: int = 4
    prior: float = 10.0


class Fit:
    """One window's model: made from magnitudes and both players' bases, then fitted step by step."""

    def __init__(
        self,
        V: NDArray[np.float32],
        W_left: NDArray[np.float32],
        W_right: NDArray[np.float32],
        settings: Settings,
        should_stop: ShouldStop | None = None,
        device: torch.device = CPU_DEVICE,
    ) -> None:
        """Take a magnitude (freq, frames) that is not silent, and bases (freq, n) of the same rows."""
        self._settings = settings
        self._should_stop = should_stop
        self._n_freq = V.shape[0]
        self._device = device
        self._V = self._put(merge_rows(V / V.max()))
        rows = np.concatenate([W_left, W_right], axis=1)
        bands = self._put(merge_rows(rows))
        # Bases of unit sum make activations of the two players comparable.
        total = bands.sum(dim=0).clamp_min(_TINY)
        self._rows = self._put(rows) / total
        self._W = bands / total
        self._n_left = W_left.shape[1]
        self._H = torch.ones((self._W.shape[1], V.shape[1]), device=device) * self._V.sum(dim=0) / self._W.shape[1]

    def run(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Fit, and return both players' magnitudes, (freq, frames) float32 each, up to one common scale.

        Raises
        ------
        Stopped
            If `should_stop` returned true.
        """
        settings = self._settings
        done = 0
        for after, strongest in settings.thinnings:
            self._activate(after - done)
            self._thin(strongest)
            done = after
        self._activate(settings.iterations - done)
        self._prune()
        self._activate(settings.pruned_iterations)
        if settings.equaliser_iterations:
            self._equalise()
        if settings.adaptations:
            self._adapt()
        left, right = self._sides()
        modelled = (self._rows[:, side] @ self._H[side] for side in (left, right))
        V_left, V_right = (part.cpu().numpy() for part in modelled)
        return V_left, V_right

    def _put(self, array: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)

    def _sides(self) -> tuple[slice, slice]:
        return slice(0, self._n_left), slice(self._n_left, None)

    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """V E^(beta-2) and E^(beta-1) of the present model E, the two terms of every update."""
        estimate = (self._W @ self._H).clamp_min_(_FLOOR)
        slope = estimate.pow(self._settings.beta - 1.0)
        return self._V * slope / estimate, slope

    def _activate(self, iterations: int) -> None:
        """Update H, without the exponent that Févotte and Idier (2011, table 2) take for beta < 1: with it,
        convergence takes half as long again.
        """
        share, cost = self._settings.smoothing_share, self._settings.sparsity
        for _ in range(iterations):
            self._check()
            data, model = self._weights()
            self._H = self._H * (self._W.T @ data) / (self._W.T @ model + cost).clamp_min_(_TINY)
            if share:
                mean = _smooth(self._H, self._settings.smoothing_frames)
                self._H = self._H.pow(1.0 - share) * mean.pow(share)

    def _thin(self, strongest: int) -> None:
        """Drop the spectra that are nowhere among a player's `strongest` ones; most never will be."""
        heard = []
        for side in self._sides():
            around = self._around(side)
            among = around.topk(min(strongest, around.shape[0]), dim=0).indices
            heard.append(torch.zeros(around.shape[0], dtype=torch.bool, device=self._device))
            heard[-1][among.flatten()] = True
        self._keep(torch.cat(heard))

    def _prune(self) -> None:
        """Silence all but the strongest spectra of each player around each frame, and drop those never heard."""
        for side in self._sides():
            around = self._around(side)
            most = min(self._settings.spectra_at_once, around.shape[0])
            weakest = around.topk(most, dim=0).values[-1]
            self._H[side] = torch.where(around >= weakest, self._H[side], 0.0)
        self._keep(self._H.sum(dim=1) > 0)

    def _around(self, side: slice) -> torch.Tensor:
        """Activations (bases, frames) of one player, averaged over the frames around."""
        return _smooth(self._H[side], self._settings.pruning_frames)

    def _keep(self, heard: torch.Tensor) -> None:
        self._n_left = int(heard[: self._n_left].sum())
        self._rows, self._W, self._H = self._rows[:, heard], self._W[:, heard], self._H[heard]

    def _equalise(self) -> None:
        """Find one smooth curve a player by which all his spectra are filtered."""
        settings = self._settings
        curves = equaliser(settings.equaliser_points)[: self._n_freq]
        by_row, by_band = self._put(curves), self._put(_mean_rows(curves))
        dry, sides = self._W, self._sides()
        points = [torch.ones(settings.equaliser_points, device=self._device) for _ in sides]
        for _ in range(settings.equaliser_iterations):
            data, model = self._weights()
            filtered = []
            for k, side in enumerate(sides):
                heard = dry[:, side] @ self._H[side]
                # (bands, frames) -> (bands,) -> (points,)
                wanted = by_band.T @ (data * heard).sum(dim=1) + settings.equaliser_prior
                present = by_band.T @ (model * heard).sum(dim=1) + settings.equaliser_prior
                step = (wanted / present).clamp_(1 / _EQUALISER_STEP, _EQUALISER_STEP).pow(_STEP)
                points[k] = (points[k] * step).clamp_(1 / _EQUALISER_RANGE, _EQUALISER_RANGE)
                filtered.append(dry[:, side] * (by_band @ points[k])[:, None])
            self._W = torch.cat(filtered, dim=1)
            self._activate(2)
        self._rows = torch.cat(
            [self._rows[:, side] * (by_row @ points[k])[:, None] for k, side in enumerate(sides)], dim=1
        )

    def _adapt(self) -> None:
        """Let each spectrum follow the recording, as far as the prior lets it."""
        settings = self._settings
        start = self._W.clamp_min(_TINY)
        change = torch.ones_like(start)
        for _ in range(settings.adaptations):
            data, model = self._weights()
            wanted = data @ self._H.T + settings.prior
            present = model @ self._H.T + settings.prior
            change = change * (wanted / present).clamp_(1 / _SPECTRUM_STEP, _SPECTRUM_STEP).pow(_STEP)
            change.clamp_(1 / _SPECTRUM_RANGE, _SPECTRUM_RANGE)
            adapted = start * change
            total = adapted.sum(dim=0).clamp_min(_TINY)
            self._W, change = adapted / total, change / total
            self._activate(2)
        self._rows = self._rows * spread_bands(change, self._n_freq)

    def _check(self) -> None:
        if self._should_stop is not None and self._should_stop():
            raise Stopped("the separation was stopped")


def _smooth(H: torch.Tensor, frames: int) -> torch.Tensor:
    """Mean over `frames` frames (odd), fewer at the ends: (bases, frames) to the same."""
    if frames <= 1 or H.shape[0] == 0:
        return H
    # (bases, frames) -> (1, bases, frames), as pooling wants it
    return torch.nn.functional.avg_pool1d(H[None], frames, 1, frames // 2, count_include_pad=False)[0]


def _mean_rows(by_row: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the rows of each band: (freq, n) to (bands, n)."""
    widths = merge_rows(np.ones((by_row.shape[0], 1), np.float32))
    mean: NDArray[np.float32] = merge_rows(by_row) / widths
    return mean
