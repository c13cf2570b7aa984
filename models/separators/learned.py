"""``learned``: guided NMF, corrected by a network that was trained on its mistakes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.certainty import Line
from models.device import CPU_DEVICE, exact_arithmetic
from models.errors import InvalidBases
from models.instruments import index_of
from models.masks import ratio_mask
from models.nmf import ShouldStop
from models.refiner import MULTIPLE, REFINED_ROWS, Refiner, features, refined, swap_players
from models.separators.adaptive_nmf import AdaptiveNMF
from models.tensors import Stored


class Learned:
    """The windows and the mask of ``nmf``, whose rows below 11 kHz pass through :mod:`models.refiner`.

    The network is asked twice, for (left, right) and for (right, left), and the mean counts: so a result does not
    depend on who sits where, and is a little better.
    """

    name = "learned"
    block_frames = AdaptiveNMF.block_frames
    overlap_frames = AdaptiveNMF.overlap_frames

    def __init__(self, guided: AdaptiveNMF, network: Refiner, stored: Stored) -> None:
        """Correct `guided` by `network`, which was read from the file `stored`, on the device of `guided`.

        Raises
        ------
        InvalidBases
            If the file does not say how its masks tell the SDR.
        """
        self._guided = guided
        # A copy: moving a network to another device moves it for all who hold it.
        self._network = network if guided.device == CPU_DEVICE else deepcopy(network).to(guided.device)
        self._stored = stored
        try:
            self.sdr_line = Line(**stored.provenance["sdr_lines"][self.name])
        except (KeyError, TypeError) as error:
            raise InvalidBases(
                f"{stored.name} does not say how SDR follows from its masks; `duetto train separator` makes "
                "one that does"
            ) from error

    @property
    def side_by_side(self) -> bool:
        """As of guided NMF."""
        return self._guided.side_by_side

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of guided NMF, and the network by hash."""
        return self._guided.parameters | {"network_sha256": self._stored.sha256}

    @property
    def provenance(self) -> dict[str, Any]:
        """What the bases were learnt from, and under "network" what the network was."""
        return self._guided.provenance | {"network": self._stored.provenance}

    def mask(
        self, V: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> NDArray[np.float32]:
        """See :meth:`models.separators.protocol.Separator.mask`."""
        V_left, V_right = self._guided.model(V, left, right, should_stop)
        share = ratio_mask(V_left, V_right)
        if not V_left.any() and not V_right.any():
            return share
        heard = features(*(torch.from_numpy(S) for S in (V, share, V_left, V_right)))
        n_frames = V.shape[1]
        # Silence after the end, so that the frames are as many as pooling halves evenly.
        x = torch.nn.functional.pad(heard[None], (0, -n_frames % MULTIPLE), value=-1.0)
        names = torch.tensor([[index_of(left), index_of(right)]])
        guided = torch.from_numpy(share[:REFINED_ROWS])
        batch, both_ways = torch.cat([x, swap_players(x)]), torch.cat([names, names.flip(1)])
        device = self._guided.device
        with torch.inference_mode(), exact_arithmetic(device):
            out = self._network(batch.to(device), both_ways.to(device)).cpu()
            told, mirrored = refined(torch.stack([guided, 1.0 - guided]), out[..., :n_frames])
        share[:REFINED_ROWS] = ((told + 1.0 - mirrored) / 2.0).numpy()
        return share
