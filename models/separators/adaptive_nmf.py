"""``nmf``: guided NMF at its best. Bases chosen for coverage, fitted to the recording within limits."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.adaptive import Fit, Settings
from models.bases import BasesBank
from models.certainty import Line
from models.device import CPU_DEVICE, about_device
from models.masks import ratio_mask
from models.nmf import ShouldStop
from models.separators.protocol import check_different
from models.stft import BLOCK_FRAMES

SDR_LINE = Line(offset_db=1.056, slope=0.5267)
"""As `duetto train separator` measured it; models/weights/learned.safetensors holds the same as "sdr_lines"."""


class AdaptiveNMF:
    """Windows of 10 s that overlap by 1.1 s, each fitted by :mod:`models.adaptive`, then a ratio mask.

    Departs from the report in the bases (:mod:`models.coverage`), the divergence, the length of the
    windows, and in that the model is fitted to the recording. docs/benchmarks.md says what each gains.
    """

    name = "nmf"
    block_frames = 2 * BLOCK_FRAMES
    overlap_frames = 24
    sdr_line = SDR_LINE

    def __init__(self, bank: BasesBank, settings: Settings | None = None, device: torch.device = CPU_DEVICE) -> None:
        self.device = device
        self._bank = bank
        self._settings = settings or Settings()

    @property
    def side_by_side(self) -> bool:
        """Whether windows may be computed at the same time: each on one core, where there is no GPU."""
        return self.device == CPU_DEVICE

    @property
    def parameters(self) -> dict[str, Any]:
        """Solver settings and the bases by hash."""
        return asdict(self._settings) | {
            "thinnings": [list(one) for one in self._settings.thinnings],
            "block_frames": self.block_frames,
            "overlap_frames": self.overlap_frames,
            **self._bank.parameters,
        }

    @property
    def provenance(self) -> dict[str, Any]:
        """See :attr:`models.separators.protocol.Separator.provenance`."""
        return self._bank.provenance | about_device(self.device)

    def mask(
        self, V: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> NDArray[np.float32]:
        """See :meth:`models.separators.protocol.Separator.mask`."""
        return ratio_mask(*self.model(V, left, right, should_stop))

    def model(
        self, V: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the magnitudes of both players that V is explained by, up to a common scale: 0 where V is silent.

        Parameters and errors are those of :meth:`mask`.
        """
        check_different(left, right)
        # Below 44.1 kHz only the lower rows exist; a row is 10.77 Hz wide at every rate.
        W_left = self._bank.of(left)[: V.shape[0]]
        W_right = self._bank.of(right)[: V.shape[0]]
        if float(V.max(initial=0.0)) < np.finfo(np.float32).tiny:
            return np.zeros_like(V), np.zeros_like(V)
        return Fit(V, W_left, W_right, self._settings, should_stop, self.device).run()
