"""Labels by picture and sound together: frame by frame until more frames would not change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from models.duet import DuetLabels, SideLabel, Step
from models.errors import InvalidPicture, PlayersUnclear, Stopped
from models.hearing import Heard
from models.instruments import NAMES, named_sides
from models.nmf import ShouldStop
from models.players.doubts import NAME_THEM, Evidence, refusal, warnings
from models.players.fusion import best, ordered_pairs
from models.players.picture import PictureEvidence, Shot
from models.taggers.protocol import SceneTagger

FIRST_FRAMES = 4
"""Looked at before anything is decided; from then on their number is doubled."""
SURE = 0.7
"""Probability of a pair, from which on the labels are called sure."""
_TOGETHER = 8  # frames between two looks at should_stop
_SETTLED = 0.05  # change of the pair's probability that counts as none


@dataclass(frozen=True)
class Opinion:
    """Who plays, by one kind of evidence, and how probable that pair is against all others."""

    left: str
    right: str
    probability: float


@dataclass(frozen=True)
class FusedLabels:
    """The labels and what they rest on.

    Attributes
    ----------
    labels : DuetLabels
        A side's probability is that of its instrument by picture and sound.
    picture : Opinion
        By the picture alone.
    heard : Heard or None
        What the sound says; None where there is nothing to hear.
    fused : Opinion
        By both, as the labels are.
    sure : bool
        Whether the fused opinion's probability is at least :data:`SURE`; true where the user named both.
    shots : tuple of Shot
        Where the players are, the view that is shown longest first.
    warnings : tuple of str
    """

    labels: DuetLabels
    picture: Opinion
    heard: Heard | None
    fused: Opinion
    sure: bool
    shots: tuple[Shot, ...]
    warnings: tuple[str, ...]

    def _repr_html_(self) -> str:
        from models.notebook import warnings_html  # noqa: PLC0415 - Pillow and soundfile, for notebooks alone

        return self.labels._repr_html_() + warnings_html(self.warnings)


def label_players(
    frames: Iterable[NDArray[np.uint8]],
    heard: Heard | None,
    tagger: SceneTagger,
    *,
    left: str | None = None,
    right: str | None = None,
    refuses: bool = True,
    progress: Callable[[int], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> FusedLabels:
    """Label both sides of a duet by what is seen and what is heard.

    Parameters
    ----------
    frames : iterable of np.ndarray [shape=(height, width, 3), uint8, RGB]
        In an order that halves the gaps, so that the first ones are spread over the clip. Read until a doubling of
        their number has changed neither the pair nor, by more than 0.05, its probability.
    heard : Heard or None
        What :class:`models.hearing.Listener` heard.
    tagger : SceneTagger
    left, right : str, optional
        A name that overrides what is found on that side.
    refuses : bool
        Whether to refuse what shows no two players; if not, the reason is the first of the warnings.
    progress : callable, optional
        Called with the number of frames seen so far.
    should_stop : callable, optional

    Raises
    ------
    InvalidPicture
        If there is no frame, or one is no picture.
    UnknownInstrument, ValueError
        If a given name is none of the eight, or both are the same.
    PlayersUnclear
        If there are no two different instruments to be told apart; the message says why and what to do.
    Stopped
        If `should_stop` returned true.
    """
    named = named_sides(left, right)
    by_sound = None if heard is None else heard.pair_log_probabilities
    picture = PictureEvidence(tagger)
    iterator = iter(frames)
    pairs: NDArray[np.float64] | None = None
    wanted = FIRST_FRAMES
    while batch := list(islice(iterator, wanted - len(picture))):
        for start in range(0, len(batch), _TOGETHER):
            if should_stop is not None and should_stop():
                raise Stopped("the labelling was stopped")
            picture.add(batch[start : start + _TOGETHER])
            if progress is not None:
                progress(len(picture))
        before, pairs = pairs, ordered_pairs(picture.sides, by_sound, named)
        if before is not None and _settled(before, pairs):
            break
        wanted = 2 * len(picture)
    if pairs is None:
        raise InvalidPicture("there is no frame to look at; give at least one picture")
    return _found(picture, heard, pairs, named, refuses=refuses)


def _settled(before: NDArray[np.float64], now: NDArray[np.float64]) -> bool:
    return best(before) == best(now) and abs(float(before.max() - now.max())) <= _SETTLED


def _found(
    picture: PictureEvidence,
    heard: Heard | None,
    pairs: NDArray[np.float64],
    named: tuple[int | None, int | None],
    *,
    refuses: bool,
) -> FusedLabels:
    probabilities = picture.probabilities
    evidence = Evidence(
        sides=probabilities.mean(axis=0).astype(np.float64),
        others=picture.others,
        trio=picture.trio(),
        alike=picture.alike(),
        heard=heard,
        pairs=pairs,
    )
    reason = refusal(evidence) if named == (None, None) else None
    if reason is not None and refuses:
        raise PlayersUnclear(reason)
    chosen = best(pairs)
    fused = _opinion(pairs)
    sure = fused.probability >= SURE
    notes = () if named != (None, None) else warnings(evidence, (fused.left, fused.right))
    if not sure:
        notes = (_unsure(fused), *notes)
    if reason is not None:
        notes = (f"{reason[:1].upper()}{reason[1:]}.", *notes)
    by_side = (pairs.sum(axis=1), pairs.sum(axis=0))
    labels = [
        SideLabel(NAMES[place], round(float(by_side[side][place]), 6), "tagger" if named[side] is None else "request")
        for side, place in enumerate(chosen)
    ]
    return FusedLabels(
        labels=DuetLabels(
            left=labels[0],
            right=labels[1],
            step=Step.PICTURE if heard is None else Step.PICTURE_AND_SOUND,
            left_probabilities=probabilities[:, 0],
            right_probabilities=probabilities[:, 1],
        ),
        picture=_opinion(ordered_pairs(picture.sides, None)),
        heard=heard,
        fused=fused,
        sure=sure,
        shots=picture.shots(*chosen),
        warnings=notes,
    )


def _opinion(pairs: NDArray[np.float64]) -> Opinion:
    left, right = best(pairs)
    return Opinion(NAMES[left], NAMES[right], round(float(pairs[left, right]), 6))


def _unsure(fused: Opinion) -> str:
    left, right = fused.left.replace("_", " "), fused.right.replace("_", " ")
    return (
        f"It is not sure who plays: {left} on the left and {right} on the right is most likely "
        f"({fused.probability:.0%}). If that is wrong, {NAME_THEM}."
    )
