"""`duetto train` from end to end on tones: two files come out, or a message and nothing."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from models.bases import load_bases
from models.instruments import NAMES
from models.miml import load_miml
from models.training import command

RATE = 44_100
SECONDS = 5.0


def _harmonic(hertz: float, partials: int, seed: int) -> np.ndarray:
    """Five notes of one second each, with so many partials: few for a flute, many for a cello."""
    rng = np.random.default_rng(seed)
    notes = []
    for step in rng.permutation(5):
        time = np.arange(round(SECONDS * RATE / 5)) / RATE
        f0 = hertz * 2.0 ** (2 * step / 12)
        note = sum(np.sin(2 * np.pi * f0 * h * time + h) / h for h in range(1, partials + 1))
        notes.append(note * np.exp(-2.0 * time))
    return 0.2 * np.concatenate(notes)


@pytest.fixture(scope="module")
def solos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("solos")
    for instrument, hertz, partials in (("cello", 110.0, 20), ("flute", 880.0, 2), ("xylophone", 1800.0, 1)):
        place = folder / "audios" / "solo" / instrument
        place.mkdir(parents=True)
        for number in range(4):
            sound = _harmonic(hertz * (1 + 0.03 * number), partials, number)
            soundfile.write(place / f"{number}.wav", sound, RATE)
    return folder


def _train(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(list(words)))


def _arguments(solos: Path, work: Path, out: Path, seed: int = 1) -> list[str]:
    return [
        *("--sources", "none", "--solos", str(solos), "--cache", str(work), "--out", str(out)),
        *("--epochs", "25", "--keep", "2", "--keep-covering", "9"),
        *("--seed", str(seed), "--held-out", "0.25", "--jobs", "1"),
    ]


@pytest.fixture(scope="module")
def trained(solos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "0")
        assert _train(*_arguments(solos, out / "cache", out)) == 0
    return out


def test_bases_come_out_best_first(trained: Path) -> None:
    bank = load_bases(trained / command.BASES_FILE)
    for name, columns, scores in zip(NAMES, bank.columns, bank.scores, strict=True):
        wanted = 2 if name in ("cello", "flute", "xylophone") else 0
        assert columns.shape == (2049, wanted)
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        if wanted:
            np.testing.assert_allclose(np.linalg.norm(columns, axis=0), 1.0, atol=2e-3)
    # The spectra are those of the notes that were played: nothing of a flute lies below its lowest.
    below = round(800 / 10.77)
    assert bank.of("flute")[:below].sum() < 0.1 * bank.of("flute").sum()
    assert bank.of("cello")[:below].sum() > 0.5 * bank.of("cello").sum()


def test_provenance_says_what_was_learnt_from_and_how_well(trained: Path, solos: Path) -> None:
    bank = load_bases(trained / command.BASES_FILE)
    record = bank.provenance
    assert record["date"] == "1970-01-01"
    assert record["command"].startswith("duetto train --sources none --solos <solos> ")
    assert "--epochs 25 --keep 2 --seed 1" in record["command"]
    assert record["split"] == "by recording"
    assert record["classes"]["cello"]["segments_train"] == 3
    assert record["classes"]["cello"]["segments_held_out"] == 1
    assert record["accuracy"]["train"] == 1.0
    assert record["sources"][0]["files"] == 12
    assert len(record["inputs_sha256"]) == 64
    assert record["versions"]["torch"] == torch.__version__
    assert str(solos) not in str(record)
    assert str(trained) not in str(record)
    assert load_miml(trained / command.NETWORK_FILE)[1] == {k: v for k, v in record.items() if k != "geometry"}


def test_bases_for_coverage_come_with_the_same_record(trained: Path) -> None:
    bank, report = (load_bases(trained / name) for name in (command.COVERING_FILE, command.BASES_FILE))
    counts = {name: columns.shape[1] for name, columns in zip(NAMES, bank.columns, strict=True)}
    assert {name for name, count in counts.items() if count} == {"cello", "flute", "xylophone"}
    assert max(counts.values()) <= 9
    assert {name: told["bases"] for name, told in bank.provenance["classes"].items()} == {
        name: count for name, count in counts.items() if count
    }
    assert bank.provenance["selection"]["frames_per_recording"] > 0
    assert {**bank.provenance, "classes": 0, "selection": 0} == {**report.provenance, "classes": 0, "selection": 0}


def test_the_network_classifies_what_it_learnt(trained: Path) -> None:
    network, _ = load_miml(trained / command.NETWORK_FILE)
    for path in sorted((trained / "cache" / "segments").glob("*.npy")):
        X, D = network(torch.from_numpy(np.load(path)))
        assert X.shape == (1, 8, 25)
        assert torch.equal(D, X.amax(dim=2))
        assert int(D.argmax()) in (2, 4, 5)


def test_the_same_seed_gives_the_same_bytes(
    solos: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert _train(*_arguments(solos, tmp_path / "cache", tmp_path)) == 0
    for name in (command.BASES_FILE, command.COVERING_FILE, command.NETWORK_FILE, command.REPORT_FILE):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()
    assert _train(*_arguments(solos, tmp_path / "cache", tmp_path / "other", seed=2), "--epochs", "1") == 0
    first, other = (load_miml(folder / command.NETWORK_FILE)[0] for folder in (trained, tmp_path / "other"))
    assert not torch.equal(first.shared.weight, other.shared.weight)


def test_a_resumed_run_ends_where_an_unbroken_one_does(
    solos: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    arguments = _arguments(solos, tmp_path / "cache", tmp_path)
    assert _train(*arguments, "--epochs", "10") == 0
    assert _train(*arguments) == 0
    unbroken, resumed = (load_miml(folder / command.NETWORK_FILE)[0].state_dict() for folder in (trained, tmp_path))
    for name, tensor in unbroken.items():
        assert torch.equal(tensor, resumed[name]), name
    # The epochs before the break are in its training curve too.
    assert (tmp_path / command.REPORT_FILE).read_bytes() == (trained / command.REPORT_FILE).read_bytes()


def test_a_checkpoint_without_losses_is_resumed_and_the_report_says_so(
    solos: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    shutil.copytree(trained / "cache", tmp_path / "cache")
    (checkpoint,) = (tmp_path / "cache" / "checkpoints").iterdir()
    state = torch.load(checkpoint, weights_only=True)
    assert [epoch[0] for epoch in state.pop("history")] == list(range(1, 26))
    torch.save(state, checkpoint)
    page = tmp_path / "page" / "of this run.md"
    assert _train(*_arguments(solos, tmp_path / "cache", tmp_path), "--report", str(page)) == 0
    assert (tmp_path / command.NETWORK_FILE).read_bytes() == (trained / command.NETWORK_FILE).read_bytes()
    said = page.read_text(encoding="utf-8")
    assert "All 25 epochs were learnt by an earlier version" in said
    pictures = {path.name for path in page.parent.glob("*.png")}
    assert pictures == set(re.findall(r"\]\((.+?\.png)\)", said))
    assert {"confusion.png", "map-cello.png", "bases-xylophone.png"} <= pictures
    assert not (tmp_path / command.REPORT_FILE).exists()


def test_a_report_of_unknown_form_is_refused_before_anything_is_learnt(
    solos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = _arguments(solos, tmp_path / "cache", tmp_path / "out")
    assert _train(*arguments, "--report", str(tmp_path / "report.pdf")) == command.EXIT_BAD_INPUT
    assert "'report.pdf'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def _broken(kind: str, good: Path, folder: Path) -> Path:
    shutil.copytree(good, folder)
    cello = folder / "audios" / "solo" / "cello"
    if kind == "no folder":
        return folder / "nowhere"
    if kind == "empty class":
        shutil.rmtree(cello)
        cello.mkdir()
    elif kind == "no class":
        shutil.rmtree(folder / "audios")
    elif kind == "one second":
        for path in cello.iterdir():
            soundfile.write(path, _harmonic(110.0, 3, 0)[:RATE], RATE)
    elif kind == "silent":
        soundfile.write(cello / "0.wav", np.zeros(6 * RATE), RATE)
    elif kind == "nan":
        soundfile.write(cello / "0.wav", np.full(6 * RATE, np.nan), RATE, subtype="FLOAT")
    elif kind == "text":
        (cello / "0.wav").write_text("not sound")
    return folder


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("no folder", "there is no folder"),
        ("no class", "named after an instrument"),
        ("empty class", "folder of cello holds no sound file"),
        ("one second", "cello has 0 recordings of at least 5 s (of 4 files)"),
        ("silent", "'0.wav' is silent"),
        ("nan", "'0.wav' holds samples that are not finite"),
        ("text", "'0.wav' cannot be read as sound"),
    ],
)
def test_bad_solos_are_explained_and_write_nothing(
    kind: str, complaint: str, solos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = _broken(kind, solos, tmp_path / "solos")
    assert _train(*_arguments(broken, tmp_path / "cache", tmp_path / "out")) == command.EXIT_BAD_INPUT
    said = capsys.readouterr().err
    assert said.startswith("duetto train: ")
    assert complaint in said
    assert not (tmp_path / "out").exists()


def test_nothing_to_learn_from_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _train("--sources", "none", "--cache", str(tmp_path), "--out", str(tmp_path / "out")) == 2
    assert "nothing to learn from" in capsys.readouterr().err


def test_a_folder_that_is_missing_or_bare_is_no_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bare").mkdir()
    for name, complaint in (("nowhere", "there is no folder"), ("bare", "<instrument>/<collection>")):
        assert _train("--sources", "none", "--recordings", str(tmp_path / name), "--cache", str(tmp_path / "c")) == 2
        assert complaint in capsys.readouterr().err


def test_a_missing_tool_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _train("--sources", "fluidr3", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")) == 2
    assert "'apt-get' is not on this machine" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_recordings_become_solos_and_bases(tmp_path: Path) -> None:
    for instrument, hertz, partials in (("cello", 110.0, 20), ("flute", 880.0, 2)):
        place = tmp_path / "recordings" / instrument / "made here"
        place.mkdir(parents=True)
        for step in range(4):
            note = _harmonic(hertz * 2.0 ** (step / 12), partials, 0)[: RATE // 2]
            soundfile.write(place / f"{hertz * 2.0 ** (step / 12):.3f}.wav", note, RATE)
    arguments = ["--sources", "none", "--recordings", str(tmp_path / "recordings"), "--minutes-per-class", "1"]
    arguments += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path), "--epochs", "3", "--jobs", "1"]
    assert _train(*arguments) == 0
    record = load_bases(tmp_path / command.BASES_FILE).provenance
    assert record["classes"]["cello"]["segments_by_origin"] == {"made here": 12}
    assert {source["licence"] for source in record["sources"]} == {"not stated: supplied by whoever trained"}


@pytest.mark.parametrize(
    "words", [["--epochs", "0"], ["--held-out", "1"], ["--minutes-per-class", "-3"], ["--keep", "x"], ["--seed", "-1"]]
)
def test_impossible_numbers_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        _train(*words)
    assert words[0] in capsys.readouterr().err


def test_the_command_is_described_without_loading_torch() -> None:
    script = (
        "import argparse, sys; from models.training import command; "
        "command.add_arguments(argparse.ArgumentParser()); print('torch' in sys.modules, bool(command.HELP))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False True"
