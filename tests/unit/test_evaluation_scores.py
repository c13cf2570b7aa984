"""Scores of a duet, their means, and the page they are written on."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation.duets import DuetResult, MethodResult
from models.evaluation.report import Evaluation, as_document, as_markdown, tables
from models.evaluation.scores import Scores, ceiling, floor, score
from models.evaluation.summary import summarise
from models.metrics import sdr, si_sdr
from models.separation import separate
from tests.unit.evaluation_set import RATE, Counting, tone

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mir_eval.separation import bss_eval_sources


@pytest.fixture(scope="module")
def duet() -> NDArray[np.float32]:
    return np.stack([tone("flute"), tone("cello")])


@pytest.fixture(scope="module")
def stems(duet: NDArray[np.float32]) -> NDArray[np.float32]:
    parts = separate(duet.sum(axis=0)[None], RATE, Counting(), "flute", "cello")
    return np.concatenate(parts)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_scores_are_mir_evals(duet: NDArray[np.float32], stems: NDArray[np.float32], swapped: bool) -> None:
    placed = stems[::-1] if swapped else stems
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = bss_eval_sources(duet, placed)
        as_placed = bss_eval_sources(duet, placed, compute_permutation=False)
    ours = score(duet, placed)
    assert ours is not None
    assert ours.in_order is (wanted[3].tolist() == [0, 1]) is not swapped
    np.testing.assert_allclose([ours.sdr, ours.sir, ours.sar], wanted[:3], rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.sdr_as_placed, as_placed[0], rtol=0, atol=1e-6)
    # SI-SDR goes with the same assignment: it does not mind the swap.
    assert min(ours.si_sdr) > 5.0
    np.testing.assert_allclose(ours.si_sdr_as_placed, si_sdr(duet, placed))
    assert (min(ours.si_sdr_as_placed) > 5.0) is not swapped


def test_scores_survive_json(duet: NDArray[np.float32], stems: NDArray[np.float32]) -> None:
    ours = score(duet, stems)
    assert ours is not None
    assert Scores.of_dict(json.loads(json.dumps(ours.as_dict()))) == ours


def test_a_silent_stem_has_no_scores(duet: NDArray[np.float32]) -> None:
    assert score(duet, np.stack([duet.sum(axis=0), np.zeros_like(duet[0])])) is None


def test_separation_lies_between_floor_and_ceiling(duet: NDArray[np.float32], stems: NDArray[np.float32]) -> None:
    mix = duet.sum(axis=0)[None]
    low, high = np.array(floor(mix, duet)), np.array(ceiling(mix, duet, RATE))
    reached = sdr(duet, stems)
    assert (low + 3.0 < reached).all()
    assert (reached < high).all()
    np.testing.assert_allclose(low, sdr(duet, np.concatenate([mix, mix])))


@pytest.mark.parametrize("rate", [16_000, 96_000])
def test_the_ceiling_at_other_rates(rate: int) -> None:
    # Above 44.1 kHz the mask continues beyond the rows that bases know.
    sources = np.stack([tone("flute", rate=rate), tone("xylophone", rate=rate)])
    mix = np.stack([sources.sum(axis=0)] * 2)
    assert min(ceiling(mix, sources, rate)) > 15.0


def made_up(name: str, truth: tuple[str, str] | None, found: tuple[str, str] | None, *, base: float) -> DuetResult:
    """A result with round numbers: right is 2 dB above left, SIR, SAR and so on each 10 above the one before."""
    good = Scores(
        sdr=(base, base + 2), sir=(base + 10, base + 12), sar=(base + 20, base + 22), si_sdr=(base + 30, base + 32),
        sdr_as_placed=(base + 40, base + 42), si_sdr_as_placed=(base + 50, base + 52), in_order=base > 0,
    )  # fmt: skip
    methods = {"one": MethodResult(found, good), "two": MethodResult(found, good if base > 0 else None)}
    return DuetResult(name, truth, None, (0.0, 1.0), (20.0, 22.0), methods)


RESULTS = (
    made_up("a", ("flute", "cello"), ("flute", "violin"), base=4.0),
    made_up("b", ("cello", "violin"), ("cello", "violin"), base=-2.0),
    made_up("c", None, ("cello", "violin"), base=1.0),
)


def test_means_by_hand() -> None:
    summary = summarise(RESULTS, labels_found=True)
    one, two = summary.methods["one"], summary.methods["two"]
    assert (one.means.sdr, one.means.sir, one.means.sar) == (2.0, 12.0, 22.0)
    assert (one.means.si_sdr, one.means.sdr_as_placed) == (32.0, 42.0)
    assert one.order_accuracy == pytest.approx(2 / 3)
    # Of the two duets whose players are known: three sides of four, one duet of two.
    assert (one.label_accuracy_by_side, one.label_accuracy_by_duet) == (0.75, 0.5)
    assert (one.silent, two.silent) == (0, 1)
    # Without the duet whose stem is silent; in order it counts as wrong.
    assert two.means.sdr == 3.5
    assert two.order_accuracy == pytest.approx(2 / 3)
    assert (summary.floor, summary.ceiling) == (0.5, 21.0)


def test_means_by_instrument_go_by_who_really_plays() -> None:
    instruments = summarise(RESULTS, labels_found=True).instruments
    assert list(instruments) == ["cello", "flute", "violin"]
    # The right player of a, 6 dB, and the left one of b, -2 dB.
    assert instruments["cello"].stems == 2
    assert instruments["cello"].methods["one"].sdr == 2.0
    assert instruments["cello"].methods["two"].sdr == 6.0
    assert instruments["violin"].methods["two"].sdr is None
    assert instruments["cello"].ceiling == 21.0


def test_labels_that_were_given_have_no_accuracy() -> None:
    one = summarise(RESULTS, labels_found=False).methods["one"]
    assert (one.label_accuracy_by_side, one.label_accuracy_by_duet) == (None, None)


def evaluation() -> Evaluation:
    return Evaluation(RESULTS, summarise(RESULTS, labels_found=True), {"separators": {}})


def test_methods_stand_side_by_side() -> None:
    means, _, duets = tables(evaluation())
    assert [row[0] for row in means.rows] == ["one", "two", "ceiling (ideal mask)", "floor (the mix)"]
    assert {"one SDR", "one order", "two SDR", "two order"} <= set(duets.headings)
    assert all(len(row) == len(table.headings) for table in tables(evaluation()) for row in table.rows)
    assert "silent" in duets.rows[1]


def test_the_page_shows_every_number_once() -> None:
    page = as_markdown(evaluation())
    assert "| one | 2.00 | 12.00 | 22.00 | 32.00 | 42.00 | 0.667 | 0.750 | 0.500 |" in page
    assert "two gave a silent stem in 1 of 3" in page
    # A table needs the same number of columns in every row.
    for block in page.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_the_document_is_strict_json() -> None:
    perfect = made_up("d", None, None, base=math.inf)
    results = (*RESULTS, perfect)
    document = as_document(Evaluation(results, summarise(results, labels_found=True), {}))
    again = json.loads(json.dumps(document, allow_nan=False))
    assert again["format"] == "duetto-evaluation"
    assert again["duets"][3]["methods"]["one"]["scores"]["sdr"] == {"left": None, "right": None}
    assert again["duets"][0]["methods"]["one"]["scores"]["sdr"] == {"left": 4.0, "right": 6.0}
    assert again["duets"][0]["methods"]["one"]["scores"]["in_order"] is True
    assert again["duets"][1]["methods"]["two"]["scores"] is None
