"""Who is left, who is right: the report's label rule (section 2.3.1) over the frames of a clip.

Each frame is cut down the middle. Probabilities of the eight instruments are summed over frames for
either half; A and B are the halves' best.

- A != B: the labels are (A, B).
- A == B: a duet of one instrument is ruled out. The side with the higher probability of A keeps it;
  the outer quarter of the frame on the other side is looked at and gives C. If C != A, C is that
  side's label; else its half's second most probable instrument, D.

When the user names one side, that side keeps its name and the other is found by the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidPicture, Stopped
from models.instruments import INSTRUMENTS, NAMES, named_sides
from models.nmf import ShouldStop
from models.taggers.protocol import Tagger

MAX_FRAMES = 200  # frames looked at (report section 2.3.1)
FRAMES_PER_SECOND = 2.4  # of the report's test set
_BATCH_FRAMES = 8  # two crops each: 16 pictures a batch


class Step(StrEnum):
    """What gave the labels: a step of the rule, or evidence that another rule rests on."""

    HALVES = "halves"
    OUTER_QUARTER = "outer_quarter"
    SECOND_BEST = "second_best"
    REQUEST = "request"
    # Of the other rule, models/players/:
    PICTURE = "picture"
    PICTURE_AND_SOUND = "picture_and_sound"


@dataclass(frozen=True, slots=True)
class SideLabel:
    """The instrument on one side, its mean probability over the frames, and who said so."""

    instrument: str
    probability: float
    source: str  # "tagger" or "request"


@dataclass(frozen=True)
class DuetLabels:
    """The labels and what they rest on.

    Attributes
    ----------
    left, right : SideLabel
    step : Step
    left_probabilities, right_probabilities : np.ndarray [shape=(frames, 8), float32, 0..1]
        Of either half, frame by frame.
    """

    left: SideLabel
    right: SideLabel
    step: Step
    left_probabilities: NDArray[np.float32]
    right_probabilities: NDArray[np.float32]

    def _repr_html_(self) -> str:
        from models.notebook import labels_html  # noqa: PLC0415 - Pillow and soundfile, for notebooks alone

        return labels_html(
            [
                (side, one.instrument, one.probability, one.source)
                for side, one in (("left", self.left), ("right", self.right))
            ],
            (self.left_probabilities.mean(axis=0), self.right_probabilities.mean(axis=0)),
        )


def label_duet(
    frames: Iterable[NDArray[np.uint8]],
    tagger: Tagger,
    *,
    left: str | None = None,
    right: str | None = None,
    progress: Callable[[int], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> DuetLabels:
    """Label both sides of a duet.

    Parameters
    ----------
    frames : iterable of np.ndarray [shape=(height, width, 3), uint8, RGB]
        The frames to look at, all of them; see :data:`MAX_FRAMES`. Read once, in order.
    tagger : Tagger
    left, right : str, optional
        A name that overrides the tagger on that side.
    progress : callable, optional
        Called with the number of frames seen so far.
    should_stop : callable, optional

    Raises
    ------
    InvalidPicture
        If there is no frame, or one is no picture.
    UnknownInstrument, ValueError
        If a given name is none of the eight, or both are the same.
    Stopped
        If `should_stop` returned true.
    """
    named = named_sides(left, right)
    halves: list[NDArray[np.float32]] = []
    quarters: list[NDArray[np.uint8]] = []
    iterator = iter(frames)
    seen = 0
    while batch := list(islice(iterator, _BATCH_FRAMES)):
        if should_stop is not None and should_stop():
            raise Stopped("the labelling was stopped")
        crops = np.stack([tagger.prepare(half) for frame in batch for half in _halves(frame)])
        # (2 * frames, 8) -> (frames, side, 8)
        halves.append(tagger.probabilities(crops).reshape(len(batch), 2, len(INSTRUMENTS)))
        quarters += [np.stack([tagger.prepare(quarter) for quarter in _outer_quarters(frame)]) for frame in batch]
        seen += len(batch)
        if progress is not None:
            progress(seen)
    if not halves:
        raise InvalidPicture("there is no frame to look at; give at least one picture")
    by_frame = np.concatenate(halves)
    found = _apply_rule(by_frame.mean(axis=0), named, lambda side: _outer_mean(quarters, side, tagger))
    return DuetLabels(
        left=found[0],
        right=found[1],
        step=found[2],
        left_probabilities=by_frame[:, 0],
        right_probabilities=by_frame[:, 1],
    )


def _apply_rule(
    means: NDArray[np.float32],
    named: tuple[int | None, int | None],
    outer: Callable[[int], NDArray[np.float32]],
) -> tuple[SideLabel, SideLabel, Step]:
    """The rule on mean probabilities (2, 8); `outer(side)` gives those of the outer quarter (8)."""

    def label(side: int, instrument: int, probability: float) -> SideLabel:
        source = "tagger" if named[side] is None else "request"
        return SideLabel(NAMES[instrument], round(float(probability), 6), source)

    best = [int(means[side].argmax()) if named[side] is None else int(named[side] or 0) for side in (0, 1)]
    labels = [label(side, best[side], means[side, best[side]]) for side in (0, 1)]
    if None not in named:
        return labels[0], labels[1], Step.REQUEST
    if best[0] != best[1]:
        return labels[0], labels[1], Step.HALVES
    shared = best[0]
    if named == (None, None):
        keeper = 0 if means[0, shared] >= means[1, shared] else 1
    else:
        keeper = 0 if named[0] is not None else 1
    other = 1 - keeper
    quarter = outer(other)
    candidate = int(quarter.argmax())
    if candidate != shared:
        labels[other] = label(other, candidate, quarter[candidate])
        return labels[0], labels[1], Step.OUTER_QUARTER
    without = means[other].copy()
    without[shared] = -1.0
    second = int(without.argmax())
    labels[other] = label(other, second, means[other, second])
    return labels[0], labels[1], Step.SECOND_BEST


def _outer_mean(quarters: list[NDArray[np.uint8]], side: int, tagger: Tagger) -> NDArray[np.float32]:
    """Mean probabilities (8) over the outer quarters of one side."""
    size = 2 * _BATCH_FRAMES
    crops = [pair[side] for pair in quarters]
    batches = [tagger.probabilities(np.stack(crops[k : k + size])) for k in range(0, len(crops), size)]
    mean: NDArray[np.float32] = np.concatenate(batches).mean(axis=0)
    return mean


def _halves(frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    middle = _width(frame, least=4) // 2
    return frame[:, :middle], frame[:, middle:]


def _outer_quarters(frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    quarter = _width(frame, least=4) // 4
    return frame[:, :quarter], frame[:, -quarter:]


def _width(frame: NDArray[np.uint8], least: int) -> int:
    if frame.ndim != 3 or frame.shape[1] < least:
        raise InvalidPicture(f"a frame must be (height, width, 3) and {least} pixels wide at least, got {frame.shape}")
    return int(frame.shape[1])
