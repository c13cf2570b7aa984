"""The pipeline on real media, without queue or server: stems, document, progress, and every way to fail."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from app.jobs.record import JobOptions
from app.jobs.states import Stage
from app.settings import Settings
from app.stem_formats import Bits, StemFormat
from models import parallel
from models.errors import PlayersUnclear, Stopped, WeightsUnavailable
from models.instruments import NAMES
from models.separators import BEST
from models.taggers import load_tagger
from tests.hard_frames import HEIGHT, WIDTH, lyrics
from tests.media import Video, image_bytes, png_bomb, write_media, write_wav, write_zip
from tests.unit.signals import harmonic, noise
from worker.engines import Engines
from worker.errors import (
    Canceled,
    FramesUnreadable,
    JobFailure,
    LabelsUnfit,
    MediaUnreadable,
    NoPicture,
    NoSound,
    PictureTooLarge,
    SilentSound,
    StemFormatUnfit,
    TooLong,
)
from worker.example_duet import example_duet
from worker.failures import public_error
from worker.levels import Level
from worker.media.limits import MediaLimits
from worker.pipeline import run_pipeline
from worker.source import Source
from worker.verify import check_sum

LIMITS = MediaLimits(max_duration_s=60.0)
BOTH = JobOptions(left="trumpet", right="acoustic_guitar")


@pytest.fixture(scope="module")
def engines() -> Engines:
    return Engines(Settings(tagger="efficientnet-lite2", offline=True))


def test_the_example_is_labelled_by_looking_and_split_by_listening(engines: Engines, tmp_path: Path) -> None:
    reports: list[tuple[Stage, float]] = []
    source = Source(video=example_duet().video)
    result = run_pipeline(source, tmp_path, JobOptions(), engines, LIMITS, report=lambda *seen: reports.append(seen))
    assert [result["labels"][side]["instrument"] for side in ("left", "right")] == ["trumpet", "acoustic_guitar"]
    assert {result["labels"][side]["source"] for side in ("left", "right")} == {"tagger"}
    assert result["tagger"] == "efficientnet-lite2"
    assert result["separator"] == BEST
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8")) == result
    rows = result["probabilities"]
    assert rows["instruments"] == list(NAMES)
    assert len(rows["times_s"]) == len(rows["left"]) == len(rows["right"]) == result["label_rule"]["frames"] == 8
    assert rows["times_s"] == sorted(rows["times_s"])
    assert result["label_rule"]["name"] == "fused"
    assert result["label_rule"]["step"] == "picture_and_sound"
    opinions = result["opinions"]
    assert (opinions["fused"]["left"], opinions["fused"]["right"]) == ("trumpet", "acoustic_guitar")
    assert opinions["fused"]["sure"] is True
    assert (opinions["picture"]["left"], opinions["picture"]["right"]) == ("trumpet", "acoustic_guitar")
    assert sorted(opinions["sound"]["instruments"]) == ["acoustic_guitar", "trumpet"]
    assert list(opinions["sound"]["probabilities"]) == list(NAMES)
    assert [view["share"] for view in result["views"]] == [1.0]
    assert result["views"][0]["cut"] == pytest.approx(0.5, abs=0.03)
    assert result["views"][0]["time_s"] in rows["times_s"]
    assert (result["views"][0]["width"], result["views"][0]["height"]) == (640, 360)
    assert set(result["provenance"]["listener"]) == {"weights_sha256", "notes_weights_sha256"}
    assert result["provenance"]["bases"]["geometry"]["n_fft"] == 4096
    total = check_sum(source.sound, tmp_path / "left.wav", tmp_path / "right.wav", LIMITS)
    assert total.samples == result["sound"]["samples"]
    assert total.max_error < 1e-4
    stages = [stage for stage, _ in reports]
    assert list(dict.fromkeys(stages)) == list(Stage)
    progress = [fraction for _, fraction in reports]
    assert progress == sorted(progress)
    assert len(set(progress)) > 6
    assert 0.9 < progress[-1] <= 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["left.wav", "result.json", "right.wav"]


@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("seconds", [0.2, 2.517])
def test_stems_have_the_mixs_format(
    engines: Engines, tmp_path: Path, sample_rate: int, channels: int, seconds: float
) -> None:
    sound = noise(channels, round(seconds * sample_rate))
    path = write_wav(tmp_path / "mix.wav", sound, sample_rate)
    out = tmp_path / "out"
    out.mkdir()
    result = run_pipeline(Source(audio=path), out, BOTH, engines, LIMITS)
    stems = [soundfile.read(out / f"{side}.wav", dtype="float32", always_2d=True) for side in ("left", "right")]
    assert [rate for _, rate in stems] == [sample_rate] * 2
    assert all(stem.T.shape == sound.shape for stem, _ in stems)
    assert np.abs(stems[0][0] + stems[1][0] - sound.T).max() < 1e-4
    assert result["sound"]["channels"] == channels
    assert any("The clip lasts only" in warning for warning in result["warnings"]) == (seconds < 1)


@pytest.mark.parametrize(
    ("stem_format", "bits", "accuracy"),
    [("wav", 16, 2.0**-15), ("wav", 24, 2e-7), ("flac", 16, 2.0**-15), ("flac", 24, 2e-7)],
)
def test_integers_add_up_to_the_mix(
    engines: Engines, tmp_path: Path, stem_format: StemFormat, bits: Bits, accuracy: float
) -> None:
    path = write_wav(tmp_path / "mix.wav", noise(2, 60_000), 44_100)
    options = BOTH.model_copy(update={"format": stem_format, "bits": bits})
    out = tmp_path / "out"
    out.mkdir()
    reports: list[tuple[Stage, float]] = []
    result = run_pipeline(Source(audio=path), out, options, engines, LIMITS, report=lambda *seen: reports.append(seen))
    assert sorted(entry.name for entry in out.iterdir()) == [
        f"left.{stem_format}",
        "result.json",
        f"right.{stem_format}",
    ]
    assert check_sum(path, out / f"left.{stem_format}", out / f"right.{stem_format}", LIMITS).max_error <= accuracy
    sound = result["sound"]
    assert [sound[key] for key in ("format", "bits", "gain_db", "stem_sample_rate")] == [stem_format, bits, 0.0, 44_100]
    progress = [fraction for _, fraction in reports]
    assert progress == sorted(progress)
    assert [stage for stage, _ in reports].count(Stage.ENCODE) >= 3


def test_a_loud_recording_is_turned_down_for_integers_only(engines: Engines, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "mix.wav", noise(1, 60_000) * 15, 44_100)
    for stem_format in ("wav", "flac"):
        out = tmp_path / stem_format
        out.mkdir()
        result = run_pipeline(
            Source(audio=path), out, JobOptions(left="violin", right="flute", format=stem_format), engines, LIMITS
        )
        gain_db = result["sound"]["gain_db"]
        assert (gain_db < 0.0) == (stem_format == "flac")
        assert any("beyond full scale" in warning for warning in result["warnings"]) == (stem_format == "flac")
        names = [out / f"{side}.{stem_format}" for side in ("left", "right")]
        assert check_sum(path, *names, LIMITS, gain_db).max_error < 1e-5


def test_mp3_has_the_length_of_the_mix_and_says_what_it_cannot(engines: Engines, tmp_path: Path) -> None:
    options = BOTH.model_copy(update={"format": "mp3", "bits": None})
    path = write_wav(tmp_path / "mix.wav", noise(2, 60_001), 44_100)
    result = run_pipeline(Source(audio=path), tmp_path, options, engines, LIMITS)
    assert not any("beyond full scale" in warning for warning in result["warnings"])
    assert [soundfile.info(tmp_path / f"{side}.mp3").frames for side in ("left", "right")] == [60_001] * 2
    out = tmp_path / "out"
    out.mkdir()
    surround = write_wav(tmp_path / "surround.wav", noise(6, 60_000), 44_100)
    stages: list[Stage] = []
    with pytest.raises(StemFormatUnfit, match="6 channels"):
        run_pipeline(
            Source(audio=surround), out, options, engines, LIMITS, report=lambda stage, _: stages.append(stage)
        )
    assert stages == [Stage.PROBE], "before any work"
    assert list(out.iterdir()) == []


def test_named_sides_need_no_picture_and_no_tagger(engines: Engines, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "mix.wav", noise(1, 50_000), 44_100)
    result = run_pipeline(Source(audio=path), tmp_path, BOTH, engines, LIMITS)
    assert result["labels"]["left"] == {"instrument": "trumpet", "probability": None, "source": "request"}
    assert result["tagger"] is None
    assert result["probabilities"] is None


def test_the_rule_of_the_report_looks_at_every_frame(engines: Engines, tmp_path: Path) -> None:
    source = Source(video=example_duet().video)
    result = run_pipeline(source, tmp_path, JobOptions(labels="report"), engines, LIMITS)
    assert [result["labels"][side]["instrument"] for side in ("left", "right")] == ["trumpet", "acoustic_guitar"]
    assert result["label_rule"] == {"name": "report", "step": "halves", "frames": 33}
    assert result["opinions"] is None
    assert result["views"] is None
    assert result["provenance"]["listener"] is None


def test_what_shows_no_two_players_says_what_to_do(engines: Engines, tmp_path: Path) -> None:
    def lyric_frame(index: int, _width: int, _height: int) -> np.ndarray:
        return lyrics(index // 25)

    film = write_media(
        tmp_path / "lyrics.mp4", noise(1, 3 * 44_100), 44_100, video=Video(75, WIDTH, HEIGHT, image=lyric_frame)
    )
    with pytest.raises(PlayersUnclear) as caught:
        run_pipeline(Source(video=film), tmp_path, JobOptions(), engines, LIMITS)
    error = public_error(caught.value, Stage.TAG)
    assert error.code == "players_unclear"
    assert not error.retryable
    assert error.message.startswith("No instrument is to be seen in the picture")
    assert error.message.endswith("Please name the instruments with `left` and `right`.")


def test_a_tagger_without_places_works_by_the_rule_of_the_report(tmp_path: Path) -> None:
    inner = load_tagger("efficientnet-lite2", offline=True)
    halves_only = SimpleNamespace(
        name="plain", provenance={"name": "plain"}, prepare=inner.prepare, probabilities=inner.probabilities
    )
    engines = Engines(Settings(offline=True))
    engines.tagger = lambda _name: halves_only  # type: ignore[method-assign,assignment,return-value]
    source = Source(video=example_duet().video)
    result = run_pipeline(source, tmp_path, JobOptions(labels="auto"), engines, LIMITS)
    assert result["label_rule"]["name"] == "report"
    with pytest.raises(LabelsUnfit, match="The tagger plain does not say where"):
        run_pipeline(source, tmp_path, JobOptions(labels="fused"), engines, LIMITS)


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_named_side_keeps_its_name(engines: Engines, tmp_path: Path, side: str) -> None:
    source = Source(video=example_duet().video)
    result = run_pipeline(source, tmp_path, JobOptions(**{side: "flute"}), engines, LIMITS)
    other = {"left": ("right", "acoustic_guitar"), "right": ("left", "trumpet")}[side]
    assert result["labels"][side]["instrument"] == "flute"
    assert result["labels"][side]["source"] == "request"
    assert result["labels"][other[0]]["instrument"] == other[1]
    assert result["labels"][other[0]]["source"] == "tagger"


def test_pictures_and_sound_apart(engines: Engines, tmp_path: Path) -> None:
    frames = list(Source(video=example_duet().video).frames(LIMITS))[:3]
    pictures = []
    for k, frame in enumerate(frames):
        path = tmp_path / f"{k}.png"
        path.write_bytes(png_of(frame.image))
        pictures.append(path)
    audio = write_wav(tmp_path / "mix.wav", noise(2, 60_000), 48_000)
    zipped = write_zip(tmp_path / "frames.zip", [(path.name, path.read_bytes()) for path in pictures])
    for given in (tuple(pictures), zipped):
        result = run_pipeline(Source(audio=audio, pictures=given), tmp_path, JobOptions(), engines, LIMITS)
        assert [result["labels"][side]["instrument"] for side in ("left", "right")] == ["trumpet", "acoustic_guitar"]
        assert result["label_rule"]["frames"] == 3


def png_of(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def made(folder: Path, kind: str) -> dict[str, Any]:
    """Bad uploads by name."""
    tone = harmonic(440.0, 1.0, 44_100)[None]
    good = write_media(folder / "good.mp4", tone, video=Video(25))
    wav = write_wav(folder / "good.wav", tone, 44_100)
    if kind == "truncated":
        (folder / "bad.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 3])
        return {"video": folder / "bad.mp4"}
    if kind == "text":
        (folder / "bad.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
        return {"video": folder / "bad.mp4"}
    if kind == "soundless":
        return {"video": write_media(folder / "bad.mp4", video=Video(25))}
    if kind == "pictureless":
        return {"video": wav}
    if kind == "silent":
        return {"video": write_media(folder / "bad.mp4", 0 * tone, video=Video(25))}
    if kind == "long":
        return {"audio": write_wav(folder / "long.wav", noise(1, 61 * 8_000), 8_000), "pictures": (wav,)}
    if kind == "bomb":
        (folder / "bomb.png").write_bytes(png_bomb())
        return {"audio": wav, "pictures": (folder / "bomb.png",)}
    if kind == "corrupt zip":
        whole = write_zip(folder / "frames.zip", [("1.png", image_bytes(1)), ("2.png", image_bytes(2))]).read_bytes()
        (folder / "bad.zip").write_bytes(whole[:-30])
        return {"audio": wav, "pictures": folder / "bad.zip"}
    raise AssertionError(f"no bad upload is called {kind}")


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("truncated", MediaUnreadable),
        ("text", MediaUnreadable),
        ("soundless", NoSound),
        ("pictureless", NoPicture),
        ("silent", SilentSound),
        ("long", TooLong),
        ("bomb", PictureTooLarge),
        ("corrupt zip", FramesUnreadable),
    ],
)
def test_bad_uploads_fail_by_name_and_leave_no_stem(
    engines: Engines, tmp_path: Path, kind: str, failure: type[JobFailure]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(failure):
        run_pipeline(Source(**made(tmp_path, kind)), out, JobOptions(), engines, LIMITS)
    assert list(out.iterdir()) == []


def test_samples_that_are_no_numbers_do_not_reach_the_stems(engines: Engines, tmp_path: Path) -> None:
    sound = noise(1, 50_000)
    sound[:, 20_000:20_100] = np.nan
    sound[:, 30_000] = np.inf
    path = write_wav(tmp_path / "mix.wav", sound, 44_100)
    run_pipeline(Source(audio=path), tmp_path, BOTH, engines, LIMITS)
    stems = [soundfile.read(tmp_path / f"{side}.wav", dtype="float32")[0] for side in ("left", "right")]
    assert all(np.isfinite(stem).all() for stem in stems)
    np.testing.assert_allclose((stems[0] + stems[1])[:20_000], sound[0, :20_000], atol=1e-6)


@pytest.mark.parametrize("looks", [1, 5, 30])
def test_stopping_leaves_no_stem(engines: Engines, tmp_path: Path, looks: int) -> None:
    left = iter(range(looks))
    with pytest.raises((Canceled, Stopped)):
        run_pipeline(
            Source(video=example_duet().video),
            tmp_path,
            JobOptions(),
            engines,
            LIMITS,
            should_stop=lambda: next(left, None) is None,
        )
    assert list(tmp_path.iterdir()) == []


def test_equal_runs_give_equal_files(engines: Engines, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "mix.wav", noise(2, 300_000), 44_100)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run_pipeline(Source(audio=path), tmp_path / name, BOTH, engines, LIMITS)
    for name in ("left.wav", "right.wav", "result.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_job_gives_the_same_files_with_any_number_of_threads(engines: Engines, tmp_path: Path) -> None:
    threads = parallel.threads()
    try:
        for number in (1, 3):
            parallel.set_threads(number)
            (tmp_path / str(number)).mkdir()
            run_pipeline(Source(video=example_duet().video), tmp_path / str(number), JobOptions(), engines, LIMITS)
    finally:
        parallel.set_threads(threads)
    for name in ("left.wav", "right.wav", "result.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_models_are_loaded_once_and_ahead() -> None:
    engines = Engines(Settings(tagger="efficientnet-lite2", offline=True))
    with ThreadPoolExecutor(4) as pool:
        ahead = pool.submit(engines.warm)
        needed = [pool.submit(engines.tagger, "auto") for _ in range(3)]
        ahead.result()
        assert all(one.result() is engines.tagger("auto") for one in needed)


def test_what_cannot_be_loaded_ahead_is_told_when_it_is_needed(tmp_path: Path) -> None:
    engines = Engines(Settings(tagger="densenet161", densenet161_weights=tmp_path / "absent.pth", offline=True))
    engines.warm()
    with pytest.raises(WeightsUnavailable):
        engines.tagger("auto")


def test_levels() -> None:
    level = Level()
    assert level.as_decibels() == {"peak_db": None, "rms_db": None}
    level.add(np.full((2, 100), 0.5, np.float32))
    level.add(np.zeros((2, 100), np.float32))
    assert level.as_decibels() == {"peak_db": -6.02, "rms_db": -9.03}


def test_a_sum_that_is_none_is_noticed(tmp_path: Path) -> None:
    mix = noise(1, 10_000)
    paths = [write_wav(tmp_path / f"{k}.wav", mix * share, 44_100) for k, share in enumerate((1.0, 0.25, 0.5))]
    assert check_sum(paths[0], paths[1], paths[2], LIMITS).max_error == pytest.approx(
        0.25 * np.abs(mix).max(), rel=1e-4
    )
    short = write_wav(tmp_path / "short.wav", mix[:, :9_000], 44_100)
    with pytest.raises(ValueError, match="ends before"):
        check_sum(paths[0], paths[1], short, LIMITS)
    slow = write_wav(tmp_path / "slow.wav", mix, 22_050)
    with pytest.raises(ValueError, match="22050"):
        check_sum(paths[0], slow, slow, LIMITS)
