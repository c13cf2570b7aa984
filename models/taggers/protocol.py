"""What every picture network can do, and what those can do that also say where."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

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


@runtime_checkable
class SceneTagger(Tagger, Protocol):
    """A tagger that says where in a picture it sees what; the label rule `fused` needs one."""

    def scene(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale a whole picture so that its shorter side has the network's size; the other one keeps the proportions,
        to the next length that the network takes.

        Parameters
        ----------
        picture : np.ndarray [shape=(height, width, 3), uint8, RGB]

        Returns
        -------
        np.ndarray [shape=(height, width, 3), uint8, RGB]

        Raises
        ------
        InvalidPicture
            If the array is no such picture.
        """

    def part(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same of a part that was cut out of a scene, which keeps its size to the next that the network takes."""

    def class_maps(self, scenes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Score every class at every place.

        Parameters
        ----------
        scenes : np.ndarray [shape=(n, height, width, 3), uint8, RGB]
            As :meth:`scene` or :meth:`part` gives them, of one size.

        Returns
        -------
        np.ndarray [shape=(n, rows, columns, 1000), float32]
            The softmax of the mean over all places is the network's opinion of the whole picture (class activation
            maps, Zhou et al. 2016); that of the mean over some columns is close to its opinion of these.
        """
