"""``position``: two players of one instrument, parted by where they sit in the stereo image.

What tells instruments apart tells nothing here; what is left is the place. Each point of the spectrum goes to the
player whose position is nearer to its own, softly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.nmf import ShouldStop
from models.panning import Positions, positions_of
from models.stft import geometry, istft, stft

_BLOCK_SECONDS = 10.0
_OVERLAP_SECONDS = 0.5  # more than a window of the transform to either side
_SPREAD = 0.1  # of a player's positions: rooms and the other player blur them


class ByPosition:
    """A :class:`~models.separators.protocol.SoundSeparator` for one stereo recording, at that recording's own rate."""

    name = "position"

    def __init__(self, positions: Positions, sample_rate: int) -> None:
        """Part what lies nearer to ``positions.left`` from what lies nearer to ``positions.right``.

        Raises
        ------
        InvalidAudio
            If the rate [Hz] is not supported.
        """
        self._positions = positions
        self.sample_rate = sample_rate
        # Whole hops, so that frames of neighbouring windows lie on each other.
        hop = geometry(sample_rate).hop
        self.block_samples = round(_BLOCK_SECONDS * sample_rate / hop) * hop
        self.overlap_samples = round(_OVERLAP_SECONDS * sample_rate / hop) * hop

    @property
    def parameters(self) -> dict[str, Any]:
        """Where both players are, 0 left to 1 right, and how widely their sounds are taken to spread."""
        return {"left": self._positions.left, "right": self._positions.right, "spread": _SPREAD}

    @property
    def provenance(self) -> dict[str, Any]:
        """Nothing was learnt."""
        return {}

    def stem(
        self,
        sound: NDArray[np.float32],
        left: str,  # noqa: ARG002 - the protocol's; a name says nothing of a place
        right: str,  # noqa: ARG002 - as left
        should_stop: ShouldStop | None = None,  # noqa: ARG002 - a window takes a tenth of a second
    ) -> NDArray[np.float32]:
        """See :meth:`models.separators.protocol.SoundSeparator.stem`; `sound` has two channels."""
        spectrum = stft(sound, self.sample_rate)
        places = positions_of(np.abs(spectrum))
        one, other = self._positions.left, self._positions.right
        # Log-odds of two normal distributions of equal spread.
        for_left = (other - one) * (one + other - 2.0 * places) / (2.0 * _SPREAD**2)
        share = (1.0 / (1.0 + np.exp(-for_left))).astype(np.float32)
        return istft(spectrum * share, self.sample_rate, sound.shape[1])
