"""Pictures of a job: what the pipeline draws, and that no job fails for one."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from PIL import Image

from app.jobs.record import JobOptions
from app.settings import Settings
from models.duet import DuetLabels, SideLabel, Step
from tests.media import noise, write_wav
from worker import pictures
from worker.commands import separate
from worker.engines import Engines
from worker.example_duet import example_duet
from worker.looking import Seen
from worker.media.limits import MediaLimits
from worker.pictures import JobPictures
from worker.pipeline import run_pipeline
from worker.source import Source

LIMITS = MediaLimits(max_duration_s=60.0)
NAMED = JobOptions(left="trumpet", right="acoustic_guitar", separator="report")
SPECTROGRAMS = ["mix", "left", "right"]


@pytest.fixture(scope="module")
def engines() -> Engines:
    return Engines(Settings(tagger="efficientnet-lite2", offline=True))


def run(source: Source, folder: Path, engines: Engines, options: JobOptions) -> dict[str, Any]:
    return run_pipeline(source, folder, options, engines, LIMITS, pictures=True)


@pytest.mark.parametrize("labels", ["fused", "report"])
def test_the_example_is_drawn(engines: Engines, tmp_path: Path, labels: Any) -> None:
    source = Source(video=example_duet().video)
    result = run(source, tmp_path, engines, JobOptions(labels=labels, separator="report"))
    told = result["pictures"]
    assert [one["name"] for one in told] == ["frame", "probabilities", *SPECTROGRAMS]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(f"{one['name']}.png" for one in told)
    for one in told:
        assert one["url"] == f"pictures/{one['name']}.png"
        with Image.open(tmp_path / f"{one['name']}.png") as image:
            assert (image.format, image.size) == ("PNG", (one["width"], one["height"]))
        assert len(one["alt"]) > 60
        if one["plot"] is not None:
            assert one["plot"]["left"] + one["plot"]["width"] <= one["width"]
            assert one["plot"]["top"] + one["plot"]["height"] <= one["height"]
    by_name = {one["name"]: one for one in told}
    assert by_name["frame"]["plot"] is None
    assert "On the left: trumpet" in by_name["frame"]["alt"]
    assert (", seen from" in by_name["frame"]["alt"]) == (labels == "fused")
    assert f"in {result['label_rule']['frames']} frames" in by_name["probabilities"]["alt"]
    assert "acoustic guitar, 0:14 long" in by_name["right"]["alt"]


def test_named_players_need_no_frame(engines: Engines, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "mix.wav", noise(2, 30_000), 44_100)
    out = tmp_path / "out"
    out.mkdir()
    result = run(Source(audio=sound), out, engines, NAMED)
    assert [one["name"] for one in result["pictures"]] == SPECTROGRAMS


def test_the_command_line_puts_them_where_the_result_says(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "mix.wav", noise(2, 30_000), 44_100)
    parser = argparse.ArgumentParser()
    separate.add_arguments(parser)
    given = [str(sound), "--left", "flute", "--right", "cello", "--separator", "report"]
    assert separate.run(parser.parse_args([*given, "-o", str(tmp_path / "with"), "--pictures"])) == 0
    told = json.loads((tmp_path / "with" / "result.json").read_text(encoding="utf-8"))["pictures"]
    assert [one["name"] for one in told] == SPECTROGRAMS
    assert [(tmp_path / "with" / one["url"]).read_bytes()[:4] for one in told] == [b"\x89PNG"] * 3
    assert separate.run(parser.parse_args([*given, "-o", str(tmp_path / "without")])) == 0
    assert sorted(path.name for path in (tmp_path / "without").iterdir()) == ["left.wav", "result.json", "right.wav"]


def test_none_are_drawn_unless_they_are_asked_for(engines: Engines, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "mix.wav", noise(2, 30_000), 44_100)
    result = run_pipeline(Source(audio=sound), tmp_path, NAMED, engines, LIMITS)
    assert result["pictures"] == []
    assert list(tmp_path.glob("*.png")) == []


def seen_at(time_s: float) -> Seen:
    """What the report's rule may say of one frame."""
    shares = np.full((1, 8), 0.125, np.float32)
    labels = DuetLabels(
        SideLabel("flute", 0.5, "tagger"), SideLabel("cello", 0.5, "tagger"), Step.HALVES, shares, shares
    )
    return Seen(labels, (time_s,), {}, (time_s,), (np.zeros((36, 64, 3), np.uint8),))


@pytest.mark.parametrize("error", [RuntimeError("no"), MemoryError(), OSError(28, "No space left on device")])
def test_a_picture_that_fails_is_left_out_and_told_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(pictures, "draw_probabilities", fail)
    drawing = JobPictures(tmp_path, 44_100, 1, 1.0)
    drawing.add(noise(1, 44_100), noise(1, 44_100, seed=1))
    told = drawing.finish(seen_at(0.5), "flute", "cello", 1.0)
    assert [one["name"] for one in told] == ["frame", *SPECTROGRAMS]
    assert "left out: probabilities" in caplog.text
    assert not (tmp_path / "probabilities.png").exists()


def test_a_disk_that_fills_leaves_no_half_of_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name != "left.png":
            return whole(path, data)
        whole(path, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    drawing = JobPictures(tmp_path, 44_100, 1, 1.0)
    drawing.add(noise(1, 44_100), noise(1, 44_100, seed=1))
    told = drawing.finish(None, "flute", "cello", 1.0)
    assert [one["name"] for one in told] == ["mix", "right"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mix.png", "right.png"]


def test_sound_that_cannot_be_drawn_costs_the_spectrograms_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawing = JobPictures(tmp_path, 44_100, 1, 1.0)
    drawing.add(noise(1, 1_000), noise(2, 1_000))  # another number of channels than was said
    drawing.add(noise(1, 44_100), noise(1, 44_100))
    assert drawing.finish(None, "flute", "cello", 1.0) == []
    assert caplog.text.count("left out: spectrograms") == 1


def test_a_job_whose_time_is_up_ends_in_its_pictures_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(pictures, "draw_spectrograms", slow)
    drawing = JobPictures(tmp_path, 44_100, 1, 1.0)
    drawing.add(noise(1, 44_100), noise(1, 44_100))
    with pytest.raises(SoftTimeLimitExceeded):
        drawing.finish(None, "flute", "cello", 1.0)


def test_the_same_recording_gives_the_same_pictures(engines: Engines, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "mix.wav", np.tile(noise(1, 30_000), (1, 3)), 44_100)
    seen = []
    for number in range(2):
        out = tmp_path / str(number)
        out.mkdir()
        run(Source(audio=sound), out, engines, NAMED)
        seen.append({path.name: io.BytesIO(path.read_bytes()).getvalue() for path in out.glob("*.png")})
    assert seen[0] == seen[1]
    assert len(seen[0]) == 3
