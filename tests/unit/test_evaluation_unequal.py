"""What an evaluation adds to scores: the SDR that a separator expects beside the true one, and unequal duets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.cli import main
from models.certainty import POOR_DB, WARNED_DB, Line
from models.evaluation.duets import DuetResult, MethodResult, Separation
from models.evaluation.layout import Duet, read_layout
from models.evaluation.report import Evaluation, as_document, as_markdown, tables
from models.evaluation.scores import Scores
from models.evaluation.sound import read_truth
from models.evaluation.summary import summarise
from models.evaluation.unequal import quieter_mix, quieter_sdr
from models.separators import Separator
from tests.unit.evaluation_set import PLAYERS, Counting, LeftGetsNothing, frames_of, tone, write_set
from tests.unit.test_evaluation import content

RATE = 44_100


class Expecting(Counting):
    """Guided NMF that says how its masks tell SDR."""

    sdr_line = Line(offset_db=3.0, slope=0.5)


@pytest.fixture
def duets(tmp_path: Path) -> tuple[Duet, ...]:
    return read_layout(write_set(tmp_path / "set"))


def work_of(output: Path, separator: Separator, *unequal_db: float) -> Separation:
    return Separation(
        separators={separator.name: separator},
        folders={separator.name: output},
        tagger=None,
        listener=None,
        frames_of=frames_of,
        kept=output / "kept",
        code="1",
        unequal_db=unequal_db,
    )


def players() -> NDArray[np.float32]:
    """The left player five times as loud as the right one."""
    return np.stack([tone(PLAYERS[0][0]), 0.2 * tone(PLAYERS[0][1])])


@pytest.mark.parametrize("below_db", [0.0, 6.0, 12.0])
@pytest.mark.parametrize("side", [0, 1])
def test_one_player_is_so_much_quieter_than_the_other(side: int, below_db: float) -> None:
    both = players()
    mix = quieter_mix(both, side, below_db)
    assert mix.shape == (1, both.shape[1])
    quiet = mix[0] - both[1 - side]
    levels = 10 * np.log10(np.square(quiet).sum() / np.square(both[1 - side]).sum())
    assert levels == pytest.approx(-below_db, abs=0.01)
    assert np.corrcoef(quiet, both[side])[0, 1] == pytest.approx(1.0, abs=1e-4)


def test_the_quieter_a_player_the_worse_its_stem() -> None:
    by_loudness = [quieter_sdr(players(), RATE, Counting(), PLAYERS[0], below) for below in (0.0, 12.0, 30.0)]
    for side in (0, 1):
        found = [pair[side] for pair in by_loudness]
        assert None not in found
        assert found == sorted(found, reverse=True)  # type: ignore[type-var]
    assert quieter_sdr(players(), RATE, LeftGetsNothing(), PLAYERS[0], 6.0)[0] is None


def test_unequal_duets_are_measured_once_and_kept(tmp_path: Path, duets: tuple[Duet, ...]) -> None:
    out, separator = tmp_path / "out", Counting()
    result = work_of(out, separator, 6.0, 12.5)(duets[0])
    measured = result.methods[separator.name].quieter_sdr
    assert list(measured) == ["6", "12.5"]
    _, references, rate = read_truth(duets[0])
    assert measured["6"] == quieter_sdr(references, rate, Counting(), PLAYERS[0], 6.0)
    again = Counting()
    assert work_of(out, again, 6.0, 12.5)(duets[0]) == result
    assert again.blocks == 0
    # Another difference costs that one alone, and none costs the duet's own result.
    more = Counting()
    wider = work_of(out, more, 6.0, 20.0)(duets[0])
    assert list(wider.methods[separator.name].quieter_sdr) == ["6", "20"]
    assert more.blocks == 2
    assert wider.methods[separator.name].scores == result.methods[separator.name].scores
    changed = Counting(setting=2)
    work_of(out, changed, 6.0)(duets[0])
    assert changed.blocks == 3
    # They leave no stems behind.
    assert sum(name.endswith(".wav") for name in content(out)) == 2


def test_what_a_separator_expects_is_measured_and_kept(tmp_path: Path, duets: tuple[Duet, ...]) -> None:
    first = work_of(tmp_path, Expecting())(duets[0]).methods["nmf-of-the-tests"]
    assert first.likely_sdr is not None
    assert all(-10.0 <= likely <= 30.0 for likely in first.likely_sdr)
    again = Expecting()
    assert work_of(tmp_path, again)(duets[0]).methods["nmf-of-the-tests"] == first
    assert again.blocks == 0
    assert work_of(tmp_path / "other", Counting())(duets[0]).methods["nmf-of-the-tests"].likely_sdr is None


def made_up(name: str, likely: tuple[float, float] | None, true: tuple[float, float] | None, **more: Any) -> DuetResult:
    """A result with this likely and true SDR."""
    # Their SI-SDR is 1 dB below their SDR.
    plain = None if true is None else (true[0] - 1.0, true[1] - 1.0)
    scores = None if true is None or plain is None else Scores(true, true, true, plain, true, plain, in_order=True)
    methods = {"sure": MethodResult(None, scores, likely, **more), "mute": MethodResult(None, scores)}
    return DuetResult(name, ("flute", "cello"), None, (0.0, 0.0), (20.0, 20.0), methods)


RESULTS = (
    made_up("a", (4.0, 1.5), (5.0, 2.5), quieter_sdr={"6": (1.0, None), "12": (-4.0, -6.0)}),
    made_up("b", (8.0, 1.0), (7.5, 6.0), quieter_sdr={"6": (2.0, 3.0), "12": (-1.0, -1.0)}),
    made_up("c", (9.0, 9.0), None, quieter_sdr={"6": (None, None), "12": (None, None)}),
)


def test_agreement_by_hand() -> None:
    summary = summarise(RESULTS, labels_found=False).methods
    likely = summary["sure"].likely_sdr
    assert likely is not None
    # Duet c cannot be measured. Order of the four: said 3, 2, 4, 1; true 2, 1, 4, 3.
    assert likely.stems == 4
    assert likely.rank_correlation_sdr == pytest.approx(1 - 6 * (1 + 1 + 0 + 4) / (4 * 15))
    assert likely.rank_correlation_si_sdr == likely.rank_correlation_sdr
    assert likely.mean_error_db == pytest.approx((0.0 + 0.0 + 1.5 + 4.0) / 4)
    assert (WARNED_DB, POOR_DB) == (2.0, 3.0)
    # Warned of is the right one of either duet; of these only that of a is poor.
    assert (likely.warned, likely.poor_of_warned) == (2, 1)
    assert summary["mute"].likely_sdr is None
    assert summary["sure"].quieter_sdr == {"6": pytest.approx(2.0), "12": pytest.approx(-3.0)}


@pytest.mark.parametrize("likely", [(5.0, 5.0), (5.0, 6.0)])
def test_one_value_has_no_order(likely: tuple[float, float]) -> None:
    found = summarise([made_up("a", likely, (7.0, 7.0))], labels_found=False).methods["sure"].likely_sdr
    assert found is not None
    assert found.rank_correlation_sdr is None
    assert found.rank_correlation_si_sdr is None


def test_both_are_in_the_tables_and_in_the_document() -> None:
    evaluation = Evaluation(RESULTS, summarise(RESULTS, labels_found=False), {})
    by_title = {table.title: table for table in tables(evaluation)}
    assert by_title["Likely SDR"].rows == (("sure", "4", "0.400", "0.400", "1.38", "2", "1"),)
    assert by_title["Stems"].headings == ("stem", "sure likely SDR", "sure SI-SDR", "sure SDR")
    assert by_title["Stems"].rows[1] == ("a, right", "1.50", "1.50", "2.50")
    assert by_title["Stems"].rows[4] == ("c, left", "9.00", "-", "-")
    page = as_markdown(evaluation)
    assert "## Stems" in page
    document = json.loads(json.dumps(as_document(evaluation), allow_nan=False))
    method = document["duets"][0]["methods"]["sure"]
    assert method["likely_sdr"] == {"left": 4.0, "right": 1.5}
    assert method["quieter_sdr"]["6"] == {"left": 1.0, "right": None}
    assert document["summary"]["methods"]["sure"]["quieter_sdr"] == {"6": 2.0, "12": -3.0}
    assert document["summary"]["methods"]["mute"]["likely_sdr"] is None


def test_methods_without_them_add_no_table() -> None:
    results = tuple(DuetResult(r.name, r.truth, None, r.floor, r.ceiling, {"mute": r.methods["mute"]}) for r in RESULTS)
    titles = {table.title for table in tables(Evaluation(results, summarise(results, labels_found=False), {}))}
    assert titles == {"Means", "Instruments", "Duets"}


def test_the_command_measures_unequal_duets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_set(tmp_path / "set")
    words = ["--labels", "true", "--separator", "nmf", "--jobs", "1", "-o", str(tmp_path / "out")]
    assert main(["evaluate", str(root), *words, "--unequal-db", "12", "6"]) == 0
    printed = capsys.readouterr().out
    assert "SDR of the quieter player" in printed
    assert "6 dB quieter" in printed
    assert "rank correlation" in printed
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text("utf-8"))
    assert list(document["summary"]["methods"]["nmf"]["quieter_sdr"]) == ["6", "12"]
    assert document["summary"]["methods"]["nmf"]["likely_sdr"]["stems"] == 4


@pytest.mark.parametrize("words", [["--unequal-db", "-3"], ["--unequal-db", "61"], ["--unequal-db", "loud"]])
def test_impossible_differences_are_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tmp_path), *words]) == 2
    assert f"argument --unequal-db: {words[1]} is not from 0 to 60 dB" in capsys.readouterr().err


def test_finished_stems_cannot_be_made_unequal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_set(tmp_path / "set")
    assert main(["evaluate", str(root), "--score-only", "--unequal-db", "6", "-o", str(tmp_path / "out")]) == 1
    assert "--unequal-db makes other mixes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
