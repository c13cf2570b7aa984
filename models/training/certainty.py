"""The line from what a mask leaves in doubt to the SDR of its stems (:mod:`models.certainty`), fitted on clips."""

from __future__ import annotations

import numpy as np
import torch

from models.certainty import Line
from models.refiner import Refiner, refined
from models.training.clips import Clips

_RANGE_DB = (-15.0, 30.0)  # of a clip's true ratio: a player who is silent has none
_TINY = 1e-12


def fit_lines(network: Refiner, clips: Clips) -> dict[str, Line]:
    """Return the lines of ``nmf`` and ``learned``, by least squares over both stems of clips not learnt from."""
    ratios: dict[str, list[float]] = {"nmf": [], "learned": []}
    truths: dict[str, list[float]] = {"nmf": [], "learned": []}
    for number in range(len(clips)):
        x, V, guided, ideal = clips.batch(np.array([number]))
        with torch.inference_mode():
            corrected = refined(guided, network(x, torch.from_numpy(clips.labels[[number]])))
        power = V.square()
        for name, share in (("nmf", guided), ("learned", corrected)):
            doubt = (power * share * (1.0 - share)).sum()
            error = (power * (share - ideal).square()).sum()
            for mine, truth in ((share, ideal), (1.0 - share, 1.0 - ideal)):
                ratios[name].append(_db((power * mine.square()).sum(), doubt))
                truths[name].append(float(np.clip(_db((power * truth.square()).sum(), error), *_RANGE_DB)))
    lines = {}
    for name, ratio in ratios.items():
        slope, offset = np.polyfit(ratio, truths[name], 1)
        lines[name] = Line(round(float(offset), 3), round(float(slope), 4))
    return lines


def _db(signal: torch.Tensor, rest: torch.Tensor) -> float:
    return float(10.0 * torch.log10((signal + _TINY) / (rest + _TINY)))
