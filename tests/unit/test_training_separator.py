"""`duetto train separator` from end to end on tones: a network comes out, or a message and nothing."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from models.bases import load_default_bases
from models.miml import save_miml
from models.refiner import load_refiner
from models.separators import AdaptiveNMF, Learned
from models.training import command
from models.training.separator_command import SEPARATOR_FILE
from tests.unit.signals import harmonic
from tests.unit.test_training_clips import indifferent_network

RATE = 44_100
CLIPS, HELD_OUT, STEPS = 12, 2, 2
REPORT = "report.html"
STOPPED = "duetto train: stopped; the same command goes on from here\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Notes of two instruments, each from two collections, and a network that chooses bases among them."""
    folder = tmp_path_factory.mktemp("sound")
    for instrument, lowest, partials in (("cello", 110.0, 16), ("flute", 880.0, 3)):
        for collection, tilt in (("wood", 1.0), ("steel", 0.6)):
            place = folder / "recordings" / instrument / collection
            place.mkdir(parents=True)
            for step in range(5):
                hertz = lowest * 2.0 ** (step / 12)
                soundfile.write(place / f"{hertz:.3f}.wav", harmonic(hertz, 0.6, RATE, partials, tilt), RATE)
    save_miml(folder / "miml.safetensors", indifferent_network(), {})
    return folder


def words_of(sound: Path, cache: Path, out: Path) -> list[str]:
    return [
        *("separator", "--sources", "none", "--recordings", str(sound / "recordings"), "--minutes-per-class", "2"),
        *("--held-out", "0.5", "--clips", str(CLIPS), "--held-out-clips", str(HELD_OUT), "--steps", str(STEPS)),
        *("--miml", str(sound / "miml.safetensors"), "--cache", str(cache), "--out", str(out)),
        *("--seed", "3", "--jobs", "1", "--device", "cpu"),
    ]


def train(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(list(words)))


@pytest.fixture(scope="module")
def trained(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "0")
        assert train(*words_of(sound, out / "cache", out)) == 0
    return out


def test_a_network_comes_out_that_separates(trained: Path) -> None:
    network, stored = load_refiner(trained / SEPARATOR_FILE)
    learned = Learned(AdaptiveNMF(load_default_bases("nmf")), network, stored)
    share = learned.mask(np.random.default_rng(0).random((2049, 10), np.float32), "cello", "flute")
    assert np.isfinite(share).all()
    assert learned.sdr_line.slope == stored.provenance["sdr_lines"]["learned"]["slope"]


def test_provenance_says_what_was_learnt_from_and_how(trained: Path, sound: Path) -> None:
    record = load_refiner(trained / SEPARATOR_FILE)[1].provenance
    assert record["made_by"] == "duetto train separator"
    assert record["date"] == "1970-01-01"
    assert record["command"].startswith("duetto train separator --sources none --recordings <recordings> ")
    assert "--clips 12 --held-out-clips 2 --steps 2 --seed 3" in record["command"]
    assert record["split"] == "by recording"
    # Of two solos an origin one was held out.
    assert record["classes"] == {name: {"steel": 1, "wood": 1} for name in ("cello", "flute")}
    assert [point["step"] for point in record["curve"]] == [1, 2]
    assert record["sdr_lines"].keys() == {"nmf", "learned"}
    assert record["hours_of_clips"] == round(CLIPS * 5.9 / 3600, 2)
    collections = {f"{name}/{origin}" for name in ("cello", "flute") for origin in ("wood", "steel")}
    assert {source["name"] for source in record["sources"]} == collections
    text = json.dumps(record)
    assert str(sound) not in text
    assert str(trained) not in text


def test_the_report_shows_sources_and_curve(trained: Path) -> None:
    page = (trained / REPORT).read_text("utf-8")
    assert "Training report of the learned separator, 1970-01-01" in page
    assert "<img" in page
    assert re.search(r"cello</t[hd]>\s*<td[^>]*>steel 1, wood 1", page)


def test_a_run_that_is_interrupted_says_so_and_goes_on_to_the_same_result(
    sound: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    cache, out = tmp_path / "cache", tmp_path / "out"
    cache.mkdir()
    # Composing solos is not what is tested here.
    for made in ("solos", "notes"):
        if (trained / "cache" / made).exists():
            shutil.copytree(trained / "cache" / made, cache / made)
    script = "import sys; from app.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "train", *words_of(sound, cache, out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C reaches a whole process group: this is one of its own.
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    # The first clips are there: its children make those to measure on.
    assert any(line == "made 12 of 12 clips to learn from\n" for line in process.stdout)
    os.killpg(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=120)
    assert (process.returncode, complaint) == (command.EXIT_INTERRUPTED, STOPPED)
    assert not out.exists()
    assert train(*words_of(sound, cache, out)) == 0
    for name in (SEPARATOR_FILE, REPORT):
        assert (out / name).read_bytes() == (trained / name).read_bytes(), name


def test_a_network_goes_on_from_another(sound: Path, trained: Path, tmp_path: Path) -> None:
    first, stored = load_refiner(trained / SEPARATOR_FILE)
    words = words_of(sound, trained / "cache", tmp_path)
    assert train(*words, "--steps", "1", "--start-from", str(trained / SEPARATOR_FILE)) == 0
    second, record = load_refiner(tmp_path / SEPARATOR_FILE)
    assert record.provenance["started_from"] == {"sha256": stored.sha256, "provenance": stored.provenance}
    assert record.provenance["command"].endswith("--start-from <weights>")
    assert record.provenance["parameters"]["learning_rate"] == stored.provenance["parameters"]["learning_rate"] / 2
    moved = (second.out.weight - first.out.weight).detach().abs().max()
    assert 0.0 < float(moved) < 1e-3, "one step away"
    assert "First came a network" in (tmp_path / REPORT).read_text("utf-8")


def test_what_is_kept_may_lie_between_both_ends(
    sound: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*words_of(sound, trained / "cache", tmp_path), "--start-from", str(trained / SEPARATOR_FILE)]
    ends = [load_refiner(trained / SEPARATOR_FILE)[0]]
    for share in ("0.0001", "0.5"):
        assert train(*words, "--keep-of-start", share) == 0
        network, stored = load_refiner(tmp_path / SEPARATOR_FILE)
        ends.append(network)
    assert capsys.readouterr().out.count("step 2 of 2") == 1, "the steps are the same, and taken once"
    start, end, between = (network.out.weight.detach() for network in ends)
    torch.testing.assert_close(between, (start + end) / 2, atol=1e-6, rtol=1e-2)
    assert not torch.equal(start, end)
    record = stored.provenance
    assert record["command"].endswith("--start-from <weights> --keep-of-start 0.5")
    assert record["parameters"]["kept_of_start"] == 0.5
    assert record["held_out_db"] != record["curve"][-1]["held_out_db"]
    assert "weights 50% of the way back" in (tmp_path / REPORT).read_text("utf-8")


def test_held_out_sources_are_named_as_they_are(
    sound: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(sound, trained / "cache", tmp_path / "out")
    assert train(*words, "--held-out-origins", "cello/wood", "violin/wood") == command.EXIT_BAD_INPUT
    assert "there is no 'violin/wood' among the solos to hold out" in capsys.readouterr().err
    assert train(*words, "--held-out-origins", "cello/wood") == command.EXIT_BAD_INPUT
    assert "solos of fewer than two instruments to measure on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (["--miml", "nowhere.safetensors"], "there is no file nowhere.safetensors"),
        (["--start-from", "nowhere.safetensors"], "there is no file nowhere.safetensors"),
        (["--keep-of-start", "0.5"], "give both, or neither"),
        (["--report", "report.pdf"], "'report.pdf'"),
        (["--clips", "11"], "at least 12 clips"),
    ],
)
def test_what_cannot_be_done_is_explained_and_writes_nothing(
    change: list[str], complaint: str, sound: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*words_of(sound, trained / "cache", tmp_path / "out"), *change) == command.EXIT_BAD_INPUT
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [["--steps", "0"], ["--clips", "-1"], ["--held-out", "1"], ["--held-out-clips", "x"], ["--device", "abacus"]],
)
def test_impossible_options_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        train("separator", *words)
    assert words[0] in capsys.readouterr().err


def test_solos_of_one_source_are_not_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for instrument, hertz in (("cello", 110.0), ("flute", 880.0)):
        (tmp_path / "solos" / instrument).mkdir(parents=True)
        for number in range(2):
            path = tmp_path / "solos" / instrument / f"{number}.wav"
            soundfile.write(path, harmonic(hertz * 1.1**number, 6.0, RATE), RATE)
    words = ["--sources", "none", "--solos", str(tmp_path / "solos"), "--cache", str(tmp_path / "cache")]
    assert train("separator", *words, "--held-out", "0.5", "--out", str(tmp_path / "out")) == command.EXIT_BAD_INPUT
    assert "all solos of cello are from 'solos'" in capsys.readouterr().err
