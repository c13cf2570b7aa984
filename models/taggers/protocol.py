"""What every picture network can do."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Tagger(Protocol):
    """Says how probable each instrument is in a picture."""

    @property
    def name(self) -> str:
        """The name it is chosen by."""

    @property
    def provenance(self) -> dict[str, Any]:
        """Architecture, weights by hash, licence and device, for the result document."""

    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring one picture to the network's input size.

        Parameters
        ----------
        picture : np.ndarray [shape=(height, width, 3), uint8, RGB]

        Returns
        -------
        np.ndarray [shape=(size, size, 3), uint8, RGB]

        Raises
        ------
        InvalidPicture
            If the array is no such picture.
        """

    def probabilities(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify prepared pictures.

        Parameters
        ----------
        prepared : np.ndarray [shape=(n, size, size, 3), uint8, RGB]

        Returns
        -------
        np.ndarray [shape=(n, 8), float32, 0..1]
            Softmax over all 1,000 classes, then the eight picked out: a row sums to 1 at most
            (report section 3.2.1 prints rows that sum to 0.79 and 0.50).
        """
