"""What every separator can do: give the left player's share of magnitudes, or the left player's sound.

Two protocols, because either loses something in the other: sound holds phase, which magnitudes do not; magnitudes
come at the recording's own rate, and nothing is resampled. :mod:`models.separation` keeps the same promises for both.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from models.errors import PlayersAlike
from models.nmf import ShouldStop


class Separator(Protocol):
    """Splits magnitudes between two named players.

    One whose `mask` may be called by several threads at a time, and then computes on the one that calls, says so by
    an attribute `side_by_side` that is true.
    """

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


@runtime_checkable
class SoundSeparator(Protocol):
    """Splits sound between two named players, at a sample rate of its own."""

    @property
    def name(self) -> str:
        """The name it is chosen by."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What its result depends on besides the sound, for the result document."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What it was learnt from and how."""

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of what it is given and gives, whatever that of the recording."""

    @property
    def block_samples(self) -> int:
        """Samples between the beginnings of two windows that it is given."""

    @property
    def overlap_samples(self) -> int:
        """Samples that a window reaches into the next one, at most `block_samples`."""

    def stem(
        self, sound: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> NDArray[np.float32]:
        """Return the left player's part of one window; what remains of it is the right player's.

        Parameters
        ----------
        sound : np.ndarray [shape=(channels, block_samples + overlap_samples), float32, full scale 1.0]
            As many channels as the recording has. A shorter recording is followed by silence.
        left, right : str
            Names out of :mod:`models.instruments`.

        Returns
        -------
        np.ndarray [shape=(channels, block_samples + overlap_samples), float32]

        Raises
        ------
        UnknownInstrument
            If a name is none of the eight.
        Stopped
            If `should_stop` returned true.
        """


AnySeparator = Separator | SoundSeparator


def check_different(left: str, right: str) -> None:
    """Make sure that instruments can tell the players apart.

    Raises
    ------
    PlayersAlike
        If there is but one instrument.
    """
    if left == right:
        raise PlayersAlike(f"both players play {left}, which a separator by instrument cannot tell apart")
