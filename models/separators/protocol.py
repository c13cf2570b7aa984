"""What every separator can do."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.nmf import ShouldStop


class Separator(Protocol):
    """Splits magnitudes between two named players."""

    @property
    def name(self) -> str:
        """The name it is chosen by."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What its result depends on besides the sound, for the result document."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What its bases were learnt from and how."""

    @property
    def block_frames(self) -> int:
        """Frames between the beginnings of two windows that it is given."""

    @property
    def overlap_frames(self) -> int:
        """Frames that a window reaches into the next one, at most `block_frames`."""

    def mask(
        self, V: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> NDArray[np.float32]:
        """Return the left player's share of each point of one window.

        Parameters
        ----------
        V : np.ndarray [shape=(freq, frames), float32, non-negative]
            Magnitude at 10.77 Hz a row; freq is 2,049, or less for recordings below 44.1 kHz.
        left, right : str
            Names out of :mod:`models.instruments`.

        Returns
        -------
        np.ndarray [shape=(freq, frames), float32, 0..1]

        Raises
        ------
        UnknownInstrument
            If a name is none of the eight.
        Stopped
            If `should_stop` returned true.
        """
