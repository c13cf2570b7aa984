"""Evaluation with the label rule `fused`: both opinions are kept, counted and shown."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from models.evaluation.duets import Separation
from models.evaluation.errors import EvaluationError
from models.evaluation.layout import read_layout
from models.evaluation.report import Evaluation, tables
from models.evaluation.summary import summarise
from models.hearing import load_listener
from models.taggers import load_tagger
from tests.hard_frames import LEFT, RIGHT, beside, halves, lyrics
from tests.unit.evaluation_set import Counting, GreyTagger, write_json
from tests.unit.test_example import EXAMPLES
from worker.commands.evaluate import frames_of
from worker.media.limits import MediaLimits

NAME = f"{LEFT}_1_{RIGHT}"
SECONDS = 13.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A set of one duet: the example's first seconds, cut off-centre."""
    folder = tmp_path / "set"
    sounds = {side: soundfile.read(EXAMPLES / f"duet_{side}.wav", dtype="float32") for side in ("left", "right")}
    rate = sounds["left"][1]
    left, right = (sounds[side][0][: int(SECONDS * rate)] for side in ("left", "right"))
    (folder / "gt_audio").mkdir(parents=True)
    for suffix, sound in (("", left + right), ("_gt1", left), ("_gt2", right)):
        soundfile.write(folder / "gt_audio" / f"{NAME}{suffix}.wav", sound, rate, subtype="FLOAT")
    images = folder / "testimage" / NAME
    images.mkdir(parents=True)
    for number, pair in enumerate(halves()[:2], 1):
        Image.fromarray(beside(*pair, 0.35)).save(images / f"{number:06d}.png")
    write_json(
        folder / "result_json" / "gt.json",
        {f"{NAME}.mp4": [{"audio": f"{NAME}_gt{k + 1}.wav", "position": k} for k in (0, 1)]},
    )
    return folder


def work_of(output: Path, tagger: object) -> Separation:
    return Separation(
        separators={"nmf-of-the-tests": Counting()},
        folders={"nmf-of-the-tests": output},
        tagger=tagger,  # type: ignore[arg-type]
        listener=load_listener(),
        frames_of=partial(frames_of, limits=MediaLimits()),
        kept=output / "kept",
        code="1",
    )


def test_both_opinions_are_kept_and_counted(root: Path, tmp_path: Path) -> None:
    work = work_of(tmp_path / "out", load_tagger("efficientnet-lite2", offline=True))
    (duet,) = read_layout(root)
    result = work(duet)
    assert result.seen is not None
    assert (result.seen["left"]["instrument"], result.seen["right"]["instrument"]) == (LEFT, RIGHT)
    assert result.seen["step"] == "picture_and_sound"
    assert result.seen["picture"] == [LEFT, RIGHT]
    assert set(result.seen["sound"]) == {LEFT, RIGHT}
    assert result.methods["nmf-of-the-tests"].labels == (LEFT, RIGHT)
    # What was done is taken from the ledger, as JSON has it.
    assert work(duet).seen == json.loads(json.dumps(result.seen))
    found = {table.title: table for table in tables(Evaluation((result,), summarise([result], labels_found=True), {}))}
    assert [row[:2] for row in found["Labels"].rows] == [
        ("picture", "1 of 1"),
        ("sound (without sides)", "1 of 1"),
        ("picture and sound", "1 of 1"),
    ]


def test_what_a_job_would_refuse_counts_by_the_best_guess(root: Path, tmp_path: Path) -> None:
    (duet,) = read_layout(root)
    for number, path in enumerate(duet.images):
        Image.fromarray(lyrics(number)).save(path)
    seen = work_of(tmp_path / "out", load_tagger("efficientnet-lite2", offline=True))(duet).seen
    assert seen is not None
    assert seen["warnings"][0].startswith("No instrument is to be seen in the picture")
    assert {seen["left"]["instrument"], seen["right"]["instrument"]} == set(seen["sound"])


def test_a_tagger_without_places_cannot(root: Path, tmp_path: Path) -> None:
    (duet,) = read_layout(root)
    with pytest.raises(EvaluationError, match="grey does not say where it sees what; use --labels report"):
        work_of(tmp_path / "out", GreyTagger())(duet)
