"""Evaluating a set: labels, stems, scores, going on after a stop, any number of processes, the command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from app.cli import main
from models.evaluation.duets import FOUND, Scoring, Separation
from models.evaluation.errors import EvaluationError, InvalidLayout
from models.evaluation.evaluate import evaluate
from models.evaluation.layout import Duet, read_layout
from models.evaluation.ledger import Ledger, code_sha256, fingerprint
from models.evaluation.results import read_results, write_result
from models.separators import Separator
from tests.media import Video, write_media
from tests.unit.evaluation_set import (
    NAMED,
    PLAYERS,
    Counting,
    GreyTagger,
    LeftGetsNothing,
    frame,
    frames_of,
    write_json,
    write_set,
)
from worker.commands.evaluate import frames_of as frames_of_command
from worker.media.limits import MediaLimits

FIRST, SECOND = NAMED


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


@pytest.fixture
def duets(root: Path) -> tuple[Duet, ...]:
    return read_layout(root)


def work_of(output: Path, *separators: Separator, tagger: GreyTagger | None = None, code: str = "1") -> Separation:
    several = len(separators) > 1
    return Separation(
        separators={one.name: one for one in separators},
        folders={one.name: output / one.name if several else output for one in separators},
        tagger=tagger,
        listener=None,
        frames_of=frames_of,
        kept=output / "kept",
        code=code,
    )


def content(folder: Path) -> Mapping[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_duet_from_pictures_to_scores(tmp_path: Path, duets: tuple[Duet, ...]) -> None:
    work = work_of(tmp_path / "out", Counting(), tagger=GreyTagger())
    result = work(duets[0])
    assert result.seen is not None
    assert (result.seen["left"]["instrument"], result.seen["right"]["instrument"]) == PLAYERS[0]
    assert result.seen["step"] == "halves"
    method = result.methods["nmf-of-the-tests"]
    assert method.labels == PLAYERS[0]
    assert method.scores is not None
    assert method.scores.in_order
    for side in (0, 1):
        assert result.floor[side] + 3 < method.scores.sdr[side] < result.ceiling[side]
    stems = [soundfile.read(tmp_path / "out" / "result_audio" / f"{FIRST}_seg{k}.wav")[0] for k in (1, 2)]
    mix, _ = soundfile.read(duets[0].mix)
    np.testing.assert_allclose(stems[0] + stems[1], mix, atol=1e-6)


def test_wrong_labels_are_used_and_cost(tmp_path: Path, root: Path) -> None:
    # The pictures still show flute and cello; the truth is now the other way round.
    write_json(root / "labels.json", [{"name": FIRST, "left": "cello", "right": "flute"}])
    duet = read_layout(root)[0]
    seen = work_of(tmp_path / "seen", Counting(), tagger=GreyTagger())(duet)
    assert seen.truth == ("cello", "flute")
    assert seen.methods["nmf-of-the-tests"].labels == ("flute", "cello")
    told = work_of(tmp_path / "told", Counting())(duet)
    assert told.seen is None
    assert told.methods["nmf-of-the-tests"].labels == ("cello", "flute")
    scores = told.methods["nmf-of-the-tests"].scores
    assert scores is not None
    # Told the wrong way round, each stem holds the other player: the best permutation finds that out.
    assert not scores.in_order
    assert np.mean(scores.sdr_as_placed) < np.mean(scores.sdr) - 6


def test_what_is_finished_is_not_done_again(tmp_path: Path, duets: tuple[Duet, ...]) -> None:
    out = tmp_path / "out"
    first = work_of(out, Counting(), tagger=GreyTagger())(duets[0])
    written = content(out)
    again = Counting()
    assert work_of(out, again, tagger=GreyTagger())(duets[0]) == first
    assert again.blocks == 0
    assert content(out) == written


@pytest.mark.parametrize("change", ["stem lost", "stem cut", "mix", "labels", "setting", "code", "record damaged"])
def test_what_a_score_depends_on_is_looked_at(tmp_path: Path, duets: tuple[Duet, ...], change: str) -> None:
    out, duet = tmp_path / "out", duets[0]
    work_of(out, Counting())(duet)
    stem = out / "result_audio" / f"{FIRST}_seg1.wav"
    again, code = Counting(), "1"
    if change == "stem lost":
        stem.unlink()
    elif change == "stem cut":
        stem.write_bytes(stem.read_bytes()[:-400])
    elif change == "mix":
        sound, rate = soundfile.read(duet.mix)
        soundfile.write(duet.mix, 0.9 * sound, rate)
    elif change == "labels":
        duet = Duet(duet.name, duet.mix, duet.left, duet.right, duet.images, None, ("flute", "violin"))
    elif change == "setting":
        again = Counting(setting=2)
    elif change == "code":
        code = "2"
    else:
        (out / "kept" / FIRST / "nmf-of-the-tests.json").write_text('{"fingerprint"')
    work_of(out, again, code=code)(duet)
    assert again.blocks > 0


def test_pictures_that_changed_are_looked_at_anew(tmp_path: Path, root: Path, duets: tuple[Duet, ...]) -> None:
    work = work_of(tmp_path / "out", Counting(), tagger=GreyTagger())
    work(duets[0])
    shutil.rmtree(root / "testimage" / FIRST)
    shutil.copytree(root / "testimage" / SECOND, root / "testimage" / FIRST)
    assert work(read_layout(root)[0]).methods["nmf-of-the-tests"].labels == PLAYERS[1]


def test_any_number_of_processes_gives_the_same(tmp_path: Path, duets: tuple[Duet, ...]) -> None:
    told: list[tuple[int, int]] = []
    results = []
    for jobs in (1, 2):
        # Two methods each, one of which gives a stem that cannot be measured.
        work = work_of(tmp_path / str(jobs), Counting(), LeftGetsNothing(), tagger=GreyTagger())
        results.append(evaluate(duets, work, jobs=jobs, progress=lambda done, total: told.append((done, total))))
    assert results[0] == results[1]
    assert [one.name for one in results[0]] == list(NAMED)
    assert [one.methods["nothing"].scores for one in results[0]] == [None, None]
    assert content(tmp_path / "1") == content(tmp_path / "2")
    assert told == [(1, 2), (2, 2)] * 2


def test_a_failure_names_its_duet_and_keeps_what_is_finished(tmp_path: Path, duets: tuple[Duet, ...]) -> None:
    unknown = Duet(FIRST, duets[0].mix, duets[0].left, duets[0].right, (), None, ("flute", "oboe"))
    out = tmp_path / "out"
    with pytest.raises(EvaluationError, match=f"{FIRST}: no instrument is called 'oboe'"):
        evaluate((duets[1], unknown), work_of(out, Counting()), jobs=1)
    assert (out / "result_audio" / f"{SECOND}_seg1.wav").is_file()
    assert not list(out.rglob("*.part"))
    nobody = Duet(FIRST, duets[0].mix, duets[0].left, duets[0].right, (), None, None)
    with pytest.raises(EvaluationError, match=f"who plays in {FIRST} is not known"):
        work_of(out, Counting())(nobody)


def test_the_ledger_forgets_what_no_longer_holds(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    wanted = fingerprint("a", {"x": 1.5}, ["b"])
    assert ledger.get("duet/what", wanted) is None
    ledger.put("duet/what", wanted, {"sdr": [float("inf"), 1.0]})
    assert ledger.get("duet/what", wanted) == {"sdr": [float("inf"), 1.0]}
    assert ledger.get("duet/what", fingerprint("a", {"x": 1.6}, ["b"])) is None


def test_the_code_is_known_by_its_text(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("x = 1\n")
    before = code_sha256(tmp_path)
    (tmp_path / "notes.txt").write_text("not code")
    assert code_sha256(tmp_path) == before
    (tmp_path / "one.py").write_text("x = 2\n")
    assert code_sha256(tmp_path) != before


def test_frames_come_from_images_or_from_the_video(tmp_path: Path, duets: tuple[Duet, ...]) -> None:
    look = partial(frames_of_command, limits=MediaLimits())
    images = list(look(duets[0], False))
    np.testing.assert_allclose(images[0], frame(*PLAYERS[0]), atol=3)
    grey = frame(*PLAYERS[1])
    video = Video(frames=25, width=64, height=32, image=lambda _index, _width, _height: grey)
    path = write_media(tmp_path / "duet.mp4", video=video)
    only_video = Duet(SECOND, duets[1].mix, duets[1].left, duets[1].right, (), path, None)
    shown = list(look(only_video, False))
    assert len(shown) == 2  # of one second, at 2.4 per second
    np.testing.assert_allclose(shown[0][:, 4:28], grey[:, 4:28], atol=4)
    path.write_bytes(b"no video")
    with pytest.raises(EvaluationError, match=f"the pictures of {SECOND} cannot be used"):
        list(look(only_video, False))


def separated(root: Path, duets: tuple[Duet, ...]) -> dict[str, object]:
    """Stems of the whole set beside it, made in this process; the scores by duet."""
    work = work_of(root, Counting())
    results = [work(duet) for duet in duets]
    write_result(root, {one.name: one.methods["nmf-of-the-tests"].labels or ("", "") for one in results})
    shutil.rmtree(root / "kept")
    return {one.name: one.methods["nmf-of-the-tests"].scores for one in results}


def test_the_command_scores_stems_that_are_there(
    root: Path, duets: tuple[Duet, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = separated(root, duets)
    before, out = content(root), tmp_path / "out"
    assert main(["evaluate", str(root), "--score-only", "-o", str(out), "--jobs", "1"]) == 0
    assert content(root) == before
    document = json.loads((out / "evaluation.json").read_text("utf-8"))
    for entry in document["duets"]:
        written = entry["methods"][FOUND]["scores"]
        expected = scores[entry["name"]]
        assert expected is not None
        assert tuple(written["sdr"].values()) == pytest.approx(expected.sdr, abs=1e-6)  # type: ignore[attr-defined]
    assert document["summary"]["methods"][FOUND]["order_accuracy"] == 1.0
    assert document["summary"]["methods"][FOUND]["label_accuracy_by_duet"] == 1.0
    page = (out / "evaluation.md").read_text("utf-8")
    printed = capsys.readouterr().out
    for text in (FIRST, SECOND, "ceiling", "acoustic guitar", "SI-SDR"):
        assert text in page
        assert text in printed
    # No path of this machine, and the same bytes when it is done again elsewhere.
    assert str(tmp_path) not in page + json.dumps(document)
    assert main(["evaluate", str(root), "--score-only", "--results", str(root), "-o", str(tmp_path / "b")]) == 0
    assert content(tmp_path / "b") == content(out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--score-only"], "result_json/result.json is missing"),
        (["--results", "elsewhere"], "give it together with --score-only"),
    ],
)
def test_the_command_says_what_is_missing_and_leaves_nothing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    out = tmp_path / "out"
    assert main(["evaluate", str(root), "-o", str(out), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_the_command_names_a_missing_file(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "gt_audio" / f"{FIRST}_gt2.wav").unlink()
    assert main(["evaluate", str(root), "-o", str(tmp_path / "out"), "--labels", "true"]) == 1
    complaint = capsys.readouterr().err
    assert f"gt_audio/{FIRST}_gt2.wav, the right player's true stem" in complaint
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file(
    root: Path, duets: tuple[Duet, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    separated(root, duets)
    (tmp_path / "out").write_text("in the way")
    assert main(["evaluate", str(root), "--score-only", "-o", str(tmp_path / "out"), "--jobs", "1"]) == 1
    assert "Check the folder that -o names" in capsys.readouterr().err


def test_results_of_another_length_are_refused(root: Path, duets: tuple[Duet, ...], tmp_path: Path) -> None:
    separated(root, duets)
    stem = root / "result_audio" / f"{FIRST}_seg2.wav"
    sound, rate = soundfile.read(stem)
    soundfile.write(stem, np.tile(sound, 2), rate)
    work = Scoring(found=read_results(root, duets), kept=tmp_path / "kept", code="1")
    with pytest.raises(InvalidLayout, match=rf"{FIRST}_seg2\.wav lasts 4\.00 s, {FIRST}\.wav 2\.00 s"):
        work(duets[0])
