"""The report's label rule, every branch of it, with a tagger whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.duet import Step, label_duet
from models.errors import InvalidPicture, Stopped, UnknownInstrument
from models.instruments import NAMES, index_of


class ColourTagger:
    """Reads probabilities off a picture: its mean red is the instrument (times 20), mean green the probability,
    mean blue the second instrument, which has half the first one's probability."""

    name = "colour"

    @property
    def provenance(self) -> dict[str, Any]:
        return {"name": self.name}

    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.round(picture.reshape(-1, 3).mean(axis=0)).astype(np.uint8).reshape(1, 1, 3)

    def probabilities(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = np.full((len(prepared), 8), 0.01, np.float32)
        for row, (red, green, blue) in zip(rows, prepared.reshape(-1, 3), strict=True):
            row[round(blue / 20)] = green / 510
            row[round(red / 20)] = green / 255
        return rows


def paint(*parts: tuple[str, float, str]) -> NDArray[np.uint8]:
    """A frame of equally wide vertical parts: (instrument, probability, second instrument) each."""
    columns = [
        np.full((6, 16, 3), (20 * index_of(first), round(255 * probability), 20 * index_of(second)), np.uint8)
        for first, probability, second in parts
    ]
    return np.concatenate(columns, axis=1)


def test_two_instruments_are_two_labels() -> None:
    found = label_duet([paint(("violin", 0.9, "cello"), ("trumpet", 0.6, "flute"))] * 3, ColourTagger())
    assert (found.left.instrument, found.right.instrument) == ("violin", "trumpet")
    assert found.left.probability == pytest.approx(0.9, abs=0.01)
    assert found.right.probability == pytest.approx(0.6, abs=0.01)
    assert (found.left.source, found.right.source) == ("tagger", "tagger")
    assert found.step is Step.HALVES
    assert found.left_probabilities.shape == found.right_probabilities.shape == (3, 8)


def test_probabilities_are_summed_over_frames() -> None:
    frames = [paint(("violin", 0.9, "cello"), ("trumpet", 0.9, "flute"))]
    frames += [paint(("cello", 0.7, "flute"), ("flute", 0.4, "violin"))] * 2
    found = label_duet(frames, ColourTagger())
    # cello 2 x 0.7 + 0.45 against violin 0.9; trumpet 0.9 against flute 2 x 0.4 + 0.45
    assert (found.left.instrument, found.right.instrument) == ("cello", "flute")


@pytest.mark.parametrize("left_is_surer", [True, False])
def test_one_instrument_on_both_sides_looks_at_the_outer_quarter(left_is_surer: bool) -> None:
    sure, unsure = 0.9, 0.5
    if left_is_surer:
        # Mean colours of the right half: red 20 x (2 x cello + ...): its inner quarter must win the half.
        inner, outer = ("violin", 0.9, "cello"), ("violin", 0.9, "cello")
        frame = paint(inner, outer, ("violin", unsure, "cello"), ("violin", unsure, "cello"))
        frame[:, -4:] = paint(("flute", 1.0, "cello"))[:, :4]
        expected = ("violin", "flute")
    else:
        frame = paint(
            ("violin", unsure, "cello"),
            ("violin", unsure, "cello"),
            ("violin", sure, "cello"),
            ("violin", sure, "cello"),
        )
        frame[:, :4] = paint(("flute", 1.0, "cello"))[:, :4]
        expected = ("flute", "violin")
    tagger = QuarterTagger(outer="flute")
    found = label_duet([frame], tagger)
    assert (found.left.instrument, found.right.instrument) == expected
    assert found.step is Step.OUTER_QUARTER


class QuarterTagger(ColourTagger):
    """Sees `outer` in any picture that is narrower than half a frame, the colours in others."""

    def __init__(self, outer: str) -> None:
        self.outer = index_of(outer)

    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if picture.shape[1] <= 16:
            return np.array([20 * self.outer, 200, 0], np.uint8).reshape(1, 1, 3)
        # The half's majority colour
        return np.median(picture.reshape(-1, 3), axis=0).astype(np.uint8).reshape(1, 1, 3)


@pytest.mark.parametrize(
    ("left", "right", "expected"), [(0.9, 0.5, ("violin", "cello")), (0.5, 0.9, ("cello", "violin"))]
)
def test_the_same_again_takes_the_second_best(left: float, right: float, expected: tuple[str, str]) -> None:
    frame = paint(*[("violin", left, "cello")] * 2, *[("violin", right, "cello")] * 2)
    found = label_duet([frame], QuarterTagger(outer="violin"))
    assert (found.left.instrument, found.right.instrument) == expected
    assert found.step is Step.SECOND_BEST


def test_a_named_side_keeps_its_name_and_the_other_is_found() -> None:
    frame = paint(("violin", 0.9, "cello"), ("trumpet", 0.6, "flute"))
    found = label_duet([frame], ColourTagger(), left="saxophone")
    assert (found.left.instrument, found.left.source) == ("saxophone", "request")
    assert (found.right.instrument, found.right.source) == ("trumpet", "tagger")
    found = label_duet([frame], ColourTagger(), right="accordion")
    assert (found.left.instrument, found.right.instrument) == ("violin", "accordion")


def test_a_named_side_is_not_given_to_the_other_even_if_that_looks_surer() -> None:
    frame = paint(*[("violin", 0.5, "cello")] * 2, *[("violin", 0.9, "cello")] * 2)
    found = label_duet([frame], QuarterTagger(outer="violin"), left="violin")
    assert (found.left.instrument, found.right.instrument) == ("violin", "cello")
    assert found.step is Step.SECOND_BEST


def test_many_frames_are_read_once_in_batches() -> None:
    frames = [paint(("violin", 0.9, "cello"), ("trumpet", 0.6, "flute"))] * 37
    seen: list[int] = []
    found = label_duet(iter(frames), ColourTagger(), progress=seen.append)
    assert seen == [8, 16, 24, 32, 37]
    assert found.left_probabilities.shape == (37, 8)


def test_bad_input_is_named() -> None:
    frame = paint(("violin", 0.9, "cello"), ("trumpet", 0.6, "flute"))
    with pytest.raises(InvalidPicture, match="no frame"):
        label_duet([], ColourTagger())
    with pytest.raises(InvalidPicture, match="4 pixels wide"):
        label_duet([frame[:, :3]], ColourTagger())
    with pytest.raises(UnknownInstrument, match="banjo"):
        label_duet([frame], ColourTagger(), left="banjo")
    with pytest.raises(ValueError, match="both sides are named cello"):
        label_duet([frame], ColourTagger(), left="cello", right="cello")
    with pytest.raises(Stopped):
        label_duet([frame], ColourTagger(), should_stop=lambda: True)


def test_the_order_of_names_is_the_reports() -> None:
    assert NAMES == ("accordion", "acoustic_guitar", "cello", "trumpet", "flute", "xylophone", "saxophone", "violin")
