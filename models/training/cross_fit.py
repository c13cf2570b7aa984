"""Bases that never heard what they are to separate.

A separator that corrects guided NMF must learn from mistakes as large as those it will meet. Bases made of the very
recordings in a clip would fit them too well, so a clip's players get bases of all origins but their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.coverage import COVERING_PER_CLASS, relevance, select_covering
from models.errors import TrainingDataError
from models.instruments import INSTRUMENTS
from models.miml import MIML
from models.training.exemplars import exemplars_by_solo
from models.training.solos import Solo

Banks = dict[tuple[str, str], NDArray[np.float16]]
"""From (instrument, origin) to that instrument's bases from all other origins, (freq, n)."""


def cross_fitted_banks(
    solos: list[Solo],
    network: MIML,
    *,
    keep: int = COVERING_PER_CLASS,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Banks:
    """Choose bases an instrument and origin, as :mod:`models.coverage` does for the bank that ships.

    Raises
    ------
    TrainingDataError
        If an instrument's solos all have one origin, the network leaves it no basis, or a recording cannot be used.
    """
    banks: Banks = {}
    for instrument in INSTRUMENTS:
        mine = [solo for solo in solos if solo.instrument == instrument.name]
        origins = sorted({solo.origin for solo in mine})
        if len(origins) == 1:
            raise TrainingDataError(
                f"all solos of {instrument.name} are from {origins[0]!r}: a separator is learnt from at least two "
                "sources of each instrument, so that one can be left out of the bases"
            )
        if not mine:
            continue
        drawn = exemplars_by_solo(mine, (seed, instrument.index))
        S = np.concatenate(drawn, axis=1)
        X = relevance(network, S)
        whose = np.repeat([solo.origin for solo in mine], [part.shape[1] for part in drawn])
        for origin in origins:
            others = whose != origin
            columns, _ = select_covering(S[:, others], X[:, others], instrument.index, keep, seed)
            if columns.shape[1] == 0:
                raise TrainingDataError(
                    f"the MIML network takes every spectrum of {instrument.name} but those from {origin!r} for another "
                    "instrument, so there are no bases: add other sources, or learn a network with `duetto train`"
                )
            banks[instrument.name, origin] = columns.astype(np.float16)
        if progress is not None:
            progress(instrument.name)
    return banks
