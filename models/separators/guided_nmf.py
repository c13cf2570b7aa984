"""Guided NMF: fixed bases of the two instruments, only the activations are found (report section 2.2.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bases import BasesBank
from models.masks import ratio_mask
from models.nmf import GUIDED_ITERATIONS, ShouldStop, activations
from models.separators.protocol import check_different
from models.stft import BLOCK_FRAMES


class GuidedNMF:
    """V ~ [W_left, W_right] [H_left; H_right] with W fixed, then a ratio mask.

    Blocks of 5 s stand side by side, as in the report.
    """

    block_frames = BLOCK_FRAMES
    overlap_frames = 0
    side_by_side = True

    def __init__(
        self, bank: BasesBank, *, name: str = "report", beta: float = 2.0, iterations: int = GUIDED_ITERATIONS
    ) -> None:
        self.name = name
        self._bank = bank
        self._beta = beta
        self._iterations = iterations

    @property
    def parameters(self) -> dict[str, Any]:
        """Solver settings and the bases by hash."""
        return {
            "beta": self._beta,
            "iterations": self._iterations,
            **self._bank.parameters,
        }

    @property
    def provenance(self) -> dict[str, Any]:
        """See :attr:`models.separators.protocol.Separator.provenance`."""
        return self._bank.provenance

    def mask(
        self, V: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> NDArray[np.float32]:
        """See :meth:`models.separators.protocol.Separator.mask`."""
        check_different(left, right)
        n_freq = V.shape[0]
        # Below 44.1 kHz only the lower rows exist; a row is 10.77 Hz wide at every rate.
        W_left = self._bank.of(left)[:n_freq]
        W_right = self._bank.of(right)[:n_freq]
        n_left = W_left.shape[1]
        H = activations(
            V,
            np.concatenate([W_left, W_right], axis=1),
            beta=self._beta,
            iterations=self._iterations,
            should_stop=should_stop,
        )
        return ratio_mask(W_left @ H[:n_left], W_right @ H[n_left:])
