"""The report's layout: what is found, and what a wrong one is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.evaluation.errors import InvalidLayout
from models.evaluation.layout import labels_of_name, read_layout
from models.evaluation.results import read_results, stem_names, write_result
from models.evaluation.sound import read_stems, read_truth, write_stems
from tests.media import write_wav
from tests.unit.evaluation_set import FRAMES, NAMED, PLAYERS, RATE, SECONDS, tone, write_json, write_set

FIRST, SECOND = NAMED
TRUTH = "result_json/gt.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


def entry(*audio: str, positions: tuple[int, ...] = (0, 1)) -> list[dict[str, object]]:
    return [{"audio": name, "position": position} for name, position in zip(audio, positions, strict=True)]


def test_all_of_a_set_is_found(root: Path) -> None:
    first, second = read_layout(root, needs_labels=True, needs_pictures=True)
    assert (first.name, second.name) == NAMED
    assert (first.labels, second.labels) == PLAYERS
    assert first.mix == root / "gt_audio" / f"{FIRST}.wav"
    assert [path.name for path in first.images] == [f"{number:06d}.jpg" for number in range(1, FRAMES + 1)]
    assert first.video is None


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("flute_3_xylophone_2", ("flute", "xylophone")),
        ("violin_13_trumpet", ("violin", "trumpet")),
        ("acoustic_guitar_4_xylophone", ("acoustic_guitar", "xylophone")),
        ("accordion_15_acoustic_guitar", ("accordion", "acoustic_guitar")),
        ("accordion_15_acoustic_guitar_7", ("accordion", "acoustic_guitar")),
        ("acoustic_guitar_1_cello_22", ("acoustic_guitar", "cello")),
        ("guitar_4_xylophone", None),
        ("violin_trumpet", None),
        ("my duet", None),
        ("violin_13_trumpet_take_2", None),
    ],
)
def test_who_plays_is_read_off_the_name(name: str, labels: tuple[str, str] | None) -> None:
    assert labels_of_name(name) == labels


def test_labels_json_overrides_names(root: Path) -> None:
    write_json(root / "labels.json", [{"name": FIRST, "left": "violin", "right": "trumpet", "split": 0.5}])
    assert [duet.labels for duet in read_layout(root)] == [("violin", "trumpet"), PLAYERS[1]]


def test_position_0_is_left_whatever_the_file_is_called(root: Path) -> None:
    stems = (f"{FIRST}_gt1.wav", f"{FIRST}_gt2.wav")
    write_json(root / TRUTH, {f"{FIRST}.mp4": entry(*stems, positions=(1, 0))})
    (duet,) = read_layout(root)
    assert (duet.left.name, duet.right.name) == stems[::-1]


def remove(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).unlink()


def write(path: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text(text, encoding="utf-8")


def truth(document: object) -> Callable[[Path], object]:
    return write(TRUTH, json.dumps(document))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove(TRUTH), r"result_json/gt\.json is missing .*wanted is the report's layout"),
        (write(TRUTH, "{"), r"result_json/gt\.json cannot be read as JSON"),
        (truth([]), "must be an object with an entry a video"),
        (truth({}), "names no duet"),
        (truth({"a.mp4": entry("a_gt1.wav", positions=(0,))}), "entry of a.mp4 .* must be two objects"),
        (truth({"a.mp4": entry("a.wav", "b.wav", positions=(1, 1))}), "entry of a.mp4 .* must be two objects"),
        (truth({"a.mp4": ["a.wav", "b.wav"]}), "entry of a.mp4 .* must be two objects"),
        (truth({"a.mp4": 7}), "entry of a.mp4 .* must be two objects"),
        (truth({"a.mp4": entry("../a.wav", "b.wav")}), "'../a.wav' where the name of a file is wanted"),
        (truth({"../a.mp4": entry("a.wav", "b.wav")}), "'../a.mp4' where the name of a file is wanted"),
        (truth({"...mp4": entry("a.wav", "b.wav")}), "'...mp4' where the name of a file is wanted"),
        (remove(f"gt_audio/{FIRST}.wav"), rf"missing.*: gt_audio/{FIRST}\.wav, the mix\. Wanted"),
        (remove(f"gt_audio/{SECOND}_gt2.wav"), rf"gt_audio/{SECOND}_gt2\.wav, the right player's true stem"),
        (write("labels.json", '[{"name": "x"}]'), "labels.json must be a list of objects"),
        (write("labels.json", '[{"name": "x", "left": "oboe", "right": "cello"}]'), "labels.json, x: no instrument"),
        (write("labels.json", '[{"name": "x", "left": "cello", "right": "cello"}]'), "labels.json, x: both sides"),
    ],
)
def test_what_is_wrong_is_said(root: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(root)
    with pytest.raises(InvalidLayout, match=message):
        read_layout(root)


def test_many_missing_files_are_counted_not_listed(root: Path) -> None:
    for path in (root / "gt_audio").iterdir():
        path.unlink()
    with pytest.raises(InvalidLayout, match=r"; and 1 more\. Wanted"):
        read_layout(root)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidLayout, match=r"there is no folder .*nowhere; give the folder that holds"):
        read_layout(tmp_path / "nowhere")


def test_labels_and_pictures_are_asked_for_only_where_needed(tmp_path: Path) -> None:
    root = write_set(tmp_path, names=("tea for two", SECOND))
    for path in (root / "testimage" / SECOND).iterdir():
        path.unlink()
    read_layout(root)
    with pytest.raises(InvalidLayout, match=r"who plays in tea for two is not known.*--labels auto"):
        read_layout(root, needs_labels=True)
    with pytest.raises(InvalidLayout, match=rf"{SECOND} has no pictures: .*testimage/{SECOND}/.*testvideo/{SECOND}"):
        read_layout(root, needs_pictures=True)
    (root / "testvideo").mkdir()
    (root / "testvideo" / f"{SECOND}.mp4").write_bytes(b"-")
    assert read_layout(root, needs_pictures=True)[1].video is not None


def test_results_that_are_written_are_read_back(root: Path) -> None:
    duets = read_layout(root)
    with pytest.raises(InvalidLayout, match=r"result_json/result\.json is missing"):
        read_results(root, duets)
    write_result(root, {FIRST: PLAYERS[0]})
    with pytest.raises(InvalidLayout, match=rf"result\.json has no entry {SECOND}\.mp4"):
        read_results(root, duets[1:])
    with pytest.raises(InvalidLayout, match=rf"result_audio/{FIRST}_seg1\.wav is missing"):
        read_results(root, duets[:1])
    sound = tone("flute")[None]
    write_stems(root / "result_audio", stem_names(FIRST), (sound, 0.5 * sound), RATE)
    (found,) = read_results(root, duets[:1]).values()
    assert found.labels == PLAYERS[0]
    back = read_stems(found.files, duets[0], sound.shape[1], RATE)
    np.testing.assert_array_equal(back, np.concatenate([sound, 0.5 * sound]))


def test_results_in_the_reports_own_form_name_no_instruments(root: Path) -> None:
    write_result(root, {FIRST: PLAYERS[0]})
    write_stems(root / "result_audio", stem_names(FIRST), (tone("flute")[None], tone("cello")[None]), RATE)
    write_json(root / "result_json/result.json", {f"{FIRST}.mp4": entry(*stem_names(FIRST), positions=(1, 0))})
    (found,) = read_results(root, read_layout(root)[:1]).values()
    assert found.labels is None
    assert [path.name for path in found.files] == list(stem_names(FIRST))[::-1]


def test_stereo_and_a_little_length_are_forgiven(root: Path) -> None:
    (duet, _) = read_layout(root)
    left = tone("flute")
    write_wav(duet.left, np.stack([left, 0.5 * left])[:, :-100], RATE)
    mix, references, rate = read_truth(duet)
    assert mix.shape == (1, round(SECONDS * RATE))
    assert rate == RATE
    np.testing.assert_allclose(references[0, :-100], 0.75 * left[:-100], atol=1e-7)
    assert not references[0, -100:].any()


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        (tone("flute"), 48_000, "_gt1.wav has 48000 Hz, .* has 44100 Hz"),
        (tone("flute", 3.0), RATE, r"_gt1.wav lasts 3\.00 s, .* 2\.00 s; they must begin and end together"),
        (0 * tone("flute"), RATE, "_gt1.wav is silent from beginning to end"),
        (np.full(2 * RATE, np.nan, np.float32), RATE, "_gt1.wav holds samples that are not finite"),
        (np.zeros(0, np.float32), RATE, "_gt1.wav holds no samples"),
    ],
)
def test_a_true_stem_that_cannot_be_measured_against(root: Path, sound, rate: int, message: str) -> None:  # type: ignore[no-untyped-def]
    (duet, _) = read_layout(root)
    soundfile.write(duet.left, sound, rate, subtype="FLOAT")
    with pytest.raises(InvalidLayout, match=message):
        read_truth(duet)


def test_a_text_file_called_wav(root: Path) -> None:
    (duet, _) = read_layout(root)
    duet.mix.write_text("no sound")
    with pytest.raises(InvalidLayout, match=rf"{FIRST}\.wav cannot be read as sound"):
        read_truth(duet)
