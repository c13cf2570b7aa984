"""Both players of a duet, apart."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]


class Stems(tuple[Sound, Sound]):
    """The left player and the right one: a tuple of two, which shows itself in a notebook.

    Attributes
    ----------
    left, right : np.ndarray [shape=(channels, samples), float32, full scale 1.0]
    sample_rate : int [Hz]
    players : (str, str)
        The instruments on the left and on the right.
    """

    sample_rate: int
    players: tuple[str, str]

    def __new__(cls, left: Sound, right: Sound, sample_rate: int, players: tuple[str, str]) -> Self:
        stems = super().__new__(cls, (left, right))
        stems.sample_rate, stems.players = sample_rate, players
        return stems

    def __getnewargs__(self) -> tuple[Sound, Sound, int, tuple[str, str]]:
        return (*self, self.sample_rate, self.players)

    @property
    def left(self) -> Sound:
        """The first of the two."""
        return self[0]

    @property
    def right(self) -> Sound:
        """The second of the two."""
        return self[1]

    def __repr__(self) -> str:
        channels, samples = self.left.shape
        return (
            f"Stems({self.players[0]} left, {self.players[1]} right: {channels} x {samples} samples at "
            f"{self.sample_rate} Hz)"
        )

    def _repr_html_(self) -> str:
        from models.notebook import stems_html  # noqa: PLC0415 - Pillow and soundfile, for notebooks alone

        return stems_html(self.left, self.right, self.sample_rate, self.players)
