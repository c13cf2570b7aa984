"""Scores of one duet: how good two stems are, and between which bounds they lie.

- floor: both stems are the unseparated mix.
- ceiling: the ideal ratio mask |L| / (|L| + |R|) from the true stems, at the transform that separation
  uses. No mask of that kind can know more; a magnitude mask cannot do much better.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.masks import extend_mask, ratio_mask
from models.metrics import bss_eval, is_silent, sdr, si_sdr
from models.stft import N_FREQ, istft, magnitude, stft

Sides = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scores:
    """Ratios in dB, left and right true stem in that order.

    Attributes
    ----------
    sdr, sir, sar, si_sdr : (left, right)
        With the assignment of stems to players that has the highest mean SIR, as the literature reports.
    sdr_as_placed, si_sdr_as_placed : (left, right)
        Of the left stem for the left player and the right one for the right: what a listener gets.
    in_order : bool
        Whether that assignment is left to left, right to right.
    """

    sdr: Sides
    sir: Sides
    sar: Sides
    si_sdr: Sides
    sdr_as_placed: Sides
    si_sdr_as_placed: Sides
    in_order: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the scores for JSON; see :meth:`of_dict`."""
        return asdict(self)

    @classmethod
    def of_dict(cls, record: dict[str, Any]) -> Scores:
        """Return the scores that :meth:`as_dict` gave."""
        ratios = {key: (float(value[0]), float(value[1])) for key, value in record.items() if key != "in_order"}
        return cls(**ratios, in_order=bool(record["in_order"]))


def score(references: NDArray[np.float32], stems: NDArray[np.float32]) -> Scores | None:
    """Measure two stems against the true ones.

    Parameters
    ----------
    references, stems : np.ndarray [shape=(2, samples), float32, full scale 1.0]
        Left, right.

    Returns
    -------
    Scores, or None where a stem is silent: silence cannot be measured, and is no result either.

    Raises
    ------
    InvalidAudio
        See :func:`models.metrics.bss_eval`.
    """
    if is_silent(stems):
        return None
    measured = bss_eval(references, stems, permute=True)
    order = measured.permutation
    placed = bool((order == np.arange(2)).all())
    return Scores(
        sdr=_sides(measured.sdr),
        sir=_sides(measured.sir),
        sar=_sides(measured.sar),
        si_sdr=_sides(si_sdr(references, stems[order])),
        sdr_as_placed=_sides(measured.sdr if placed else sdr(references, stems)),
        si_sdr_as_placed=_sides(si_sdr(references, stems)),
        in_order=placed,
    )


def floor(mix: NDArray[np.float32], references: NDArray[np.float32]) -> Sides:
    """SDR in dB of the unseparated mix (channels, samples) for the left and the right player."""
    both = np.broadcast_to(mix.mean(axis=0), references.shape)
    return _sides(sdr(references, both))


def ceiling(mix: NDArray[np.float32], references: NDArray[np.float32], sample_rate: int) -> Sides:
    """SDR in dB of the mix (channels, samples) under the ideal ratio mask of the true stems (2, samples)."""
    V_left, V_right = (magnitude(reference[None], sample_rate) for reference in references)
    mask = extend_mask(ratio_mask(V_left, V_right)[:N_FREQ], V_left.shape[0])
    spectrum = stft(mix.mean(axis=0, keepdims=True), sample_rate)
    n_samples = mix.shape[1]
    left = istft(spectrum * mask, sample_rate, n_samples)
    right = istft(spectrum * (1.0 - mask), sample_rate, n_samples)
    return _sides(sdr(references, np.concatenate([left, right])))


def _sides(values: NDArray[np.float64]) -> Sides:
    return float(values[0]), float(values[1])
