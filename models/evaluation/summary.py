"""Means over duets: by method, by instrument, and how often the labels were right.

Means are over stems that could be measured; `silent` counts the duets left out of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from models.certainty import POOR_DB, WARNED_DB
from models.evaluation.duets import DuetResult, MethodResult
from models.evaluation.scores import Sides
from models.instruments import NAMES


@dataclass(frozen=True, slots=True)
class Means:
    """Means in dB over stems; None where there is nothing to average.

    `sdr_as_placed` is without the best permutation, see :class:`models.evaluation.scores.Scores`.
    """

    sdr: float | None
    sir: float | None
    sar: float | None
    si_sdr: float | None
    sdr_as_placed: float | None


@dataclass(frozen=True, slots=True)
class LikelySummary:
    """How well the SDR that a method itself expects of its stems agrees with what they have.

    Attributes
    ----------
    stems : int
        Those that were measured and that the method said something of.
    rank_correlation_sdr, rank_correlation_si_sdr : float or None
        Spearman's, with either ratio as placed: 1 where the order is the same, None where there is no order.
    mean_error_db : float
        Mean of the absolute differences from SI-SDR as placed, which is what it estimates.
    warned, poor_of_warned : int
        Stems whose likely SDR is below `models.certainty.WARNED_DB`, and those of them whose SI-SDR is below `POOR_DB`.
    """

    stems: int
    rank_correlation_sdr: float | None
    rank_correlation_si_sdr: float | None
    mean_error_db: float
    warned: int
    poor_of_warned: int


@dataclass(frozen=True, slots=True)
class MethodSummary:
    """One method over all duets.

    Attributes
    ----------
    means : Means
    order_accuracy : float or None
        Share of duets whose best permutation is the identity; a duet with a silent stem counts as wrong.
    label_accuracy_by_side, label_accuracy_by_duet : float or None
        Share of sides, and of duets with both sides, whose instrument is the true one; None where
        labels were given or the truth is not known.
    silent : int
        Duets with a silent stem.
    likely_sdr : LikelySummary or None
        None where the method does not say what SDR it expects.
    quieter_sdr : dict
        Mean SDR in dB of the quieter player, by how many dB it is quieter.
    """

    means: Means
    order_accuracy: float | None
    label_accuracy_by_side: float | None
    label_accuracy_by_duet: float | None
    silent: int
    likely_sdr: LikelySummary | None = None
    quieter_sdr: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InstrumentSummary:
    """One instrument, wherever it really plays: number of stems, means by method, mean of floor and ceiling in dB."""

    stems: int
    methods: dict[str, Means]
    floor: float
    ceiling: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Methods by name, instruments by name (those that play), mean SDR of floor and ceiling in dB."""

    methods: dict[str, MethodSummary]
    instruments: dict[str, InstrumentSummary]
    floor: float
    ceiling: float


def summarise(results: Sequence[DuetResult], *, labels_found: bool) -> Summary:
    """Average what was measured.

    Parameters
    ----------
    results : sequence of DuetResult
        At least one; all with the same methods.
    labels_found : bool
        Whether labels were found by a method, so that their accuracy means something.
    """
    methods = list(results[0].methods)
    instruments = {}
    for instrument in NAMES:
        played = [
            (result, side)
            for result in results
            for side in (0, 1)
            if result.truth is not None and result.truth[side] == instrument
        ]
        if played:
            instruments[instrument] = InstrumentSummary(
                stems=len(played),
                methods={
                    name: _means([(result.methods[name], (side,)) for result, side in played]) for name in methods
                },
                floor=_mean(result.floor[side] for result, side in played),
                ceiling=_mean(result.ceiling[side] for result, side in played),
            )
    return Summary(
        methods={name: _of_method(results, name, labels_found=labels_found) for name in methods},
        instruments=instruments,
        floor=_mean(value for result in results for value in result.floor),
        ceiling=_mean(value for result in results for value in result.ceiling),
    )


def mean_of_sides(sides: Sides) -> float:
    """Return the mean of left and right."""
    return float(np.mean(sides))


def _of_method(results: Sequence[DuetResult], name: str, *, labels_found: bool) -> MethodSummary:
    mine = [result.methods[name] for result in results]
    sides: list[bool] = []
    for result, method in zip(results, mine, strict=True):
        if labels_found and result.truth is not None and method.labels is not None:
            sides += [found == true for found, true in zip(method.labels, result.truth, strict=True)]
    return MethodSummary(
        means=_means([(method, (0, 1)) for method in mine]),
        order_accuracy=_average(method.scores is not None and method.scores.in_order for method in mine),
        label_accuracy_by_side=_average(sides),
        label_accuracy_by_duet=_average(left and right for left, right in zip(sides[::2], sides[1::2], strict=True)),
        silent=sum(method.scores is None for method in mine),
        likely_sdr=_likely(mine),
        quieter_sdr={
            below: _average(sdr for method in mine for sdr in method.quieter_sdr[below] if sdr is not None)
            for below in mine[0].quieter_sdr
        },
    )


def _likely(results: Sequence[MethodResult]) -> LikelySummary | None:
    stems = [
        stem
        for result in results
        if result.likely_sdr is not None and (scores := result.scores) is not None
        for stem in zip(result.likely_sdr, scores.sdr_as_placed, scores.si_sdr_as_placed, strict=True)
    ]
    if not stems:
        return None
    likely, sdr, si_sdr = np.transpose(stems)
    warned = likely < WARNED_DB
    return LikelySummary(
        stems=len(stems),
        rank_correlation_sdr=_rank_correlation(likely, sdr),
        rank_correlation_si_sdr=_rank_correlation(likely, si_sdr),
        mean_error_db=float(np.abs(likely - si_sdr).mean()),
        warned=int(warned.sum()),
        poor_of_warned=int((warned & (si_sdr < POOR_DB)).sum()),
    )


def _rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    ordered = min(len(set(values)) for values in (one.tolist(), other.tolist())) > 1
    return float(spearmanr(one, other).statistic) if ordered else None


def _means(stems: Sequence[tuple[MethodResult, Sequence[int]]]) -> Means:
    """Average over (method's result, sides)."""
    measured = [(method.scores, sides) for method, sides in stems if method.scores is not None]
    return Means(
        **{
            ratio.name: _average(getattr(scores, ratio.name)[side] for scores, sides in measured for side in sides)
            for ratio in fields(Means)
        }
    )


def _average(values: Iterable[float]) -> float | None:
    listed = list(values)
    return _mean(listed) if listed else None


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
