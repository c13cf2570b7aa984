"""Segments: cut at 5 s, factorised once, held out by recording; unusable recordings are named."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.errors import TrainingDataError
from models.stft import BLOCK_FRAMES, N_FREQ
from models.training.segments import Segments, collect_segments, cut, factorize_recording, hold_out
from models.training.solos import Solo

RATE = 44_100
FEW = 5  # iterations: what is tested here does not depend on how well V is approximated


def _write(path: Path, audio: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


def _tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("seconds", "count"), [(1.0, 0), (4.4, 0), (5.0, 1), (9.0, 1), (10.0, 2), (30.0, 6)])
def test_a_recording_is_cut_every_five_seconds(seconds: float, count: int, tmp_path: Path) -> None:
    bases = factorize_recording(_write(tmp_path / "a.wav", _tone(seconds)), iterations=FEW)
    assert bases.shape == (count, N_FREQ, 25)
    assert bases.dtype == np.float32


def test_rests_are_no_segments() -> None:
    V = np.ones((N_FREQ, 3 * BLOCK_FRAMES), np.float32)
    V[:, BLOCK_FRAMES : 2 * BLOCK_FRAMES] = 1e-5
    assert len(cut(V)) == 2
    assert cut(np.zeros((N_FREQ, BLOCK_FRAMES), np.float32)) == []


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_stereo_and_other_rates_give_the_same_pitch(rate: int, tmp_path: Path) -> None:
    tone = _tone(5.0, rate)
    bases = factorize_recording(_write(tmp_path / "a.wav", np.stack([tone, 0.5 * tone], axis=1), rate), iterations=50)
    assert bases.shape[0] == 1
    # 440 Hz lies in bin 440 / 10.77 = 41
    assert np.argmax(bases[0].sum(axis=1)) in (40, 41)


@pytest.mark.parametrize(
    ("audio", "complaint"),
    [
        (np.zeros(6 * RATE), "'bad.wav' is silent"),
        (np.zeros(0), "'bad.wav' is silent"),
        (np.where(np.arange(6 * RATE) == 1000, np.nan, 0.1), "'bad.wav' holds samples that are not finite"),
        (np.stack([_tone(6.0), -_tone(6.0)], axis=1), "channels of 'bad.wav' cancel out"),
    ],
    ids=["silent", "empty", "nan", "opposite channels"],
)
def test_what_nothing_can_be_learnt_from_is_named(audio: np.ndarray, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=complaint):
        factorize_recording(_write(tmp_path / "bad.wav", audio))


def test_a_file_that_is_no_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("this is text")
    with pytest.raises(TrainingDataError, match=r"'bad.wav' cannot be read as sound.*WAV, FLAC"):
        factorize_recording(tmp_path / "bad.wav")


@pytest.fixture(scope="module")
def solos(tmp_path_factory: pytest.TempPathFactory) -> list[Solo]:
    folder = tmp_path_factory.mktemp("solos")
    made = []
    for instrument, hertz in (("cello", 110.0), ("flute", 880.0)):
        for number in range(4):
            path = _write(folder / instrument / f"{number}.flac", _tone(10.0, hertz=hertz * (1 + 0.1 * number)))
            made.append(Solo(path, instrument, "made here"))
    return made


@pytest.fixture(scope="module")
def segments(solos: list[Solo], tmp_path_factory: pytest.TempPathFactory) -> Segments:
    return collect_segments(solos, tmp_path_factory.mktemp("cache"), iterations=FEW)


def test_every_segment_knows_its_class_and_its_recording(segments: Segments) -> None:
    assert segments.W.shape == (16, N_FREQ, 25)
    assert segments.labels.tolist() == [2] * 8 + [4] * 8
    assert segments.recordings.tolist() == [number // 2 for number in range(16)]
    np.testing.assert_allclose(np.linalg.norm(segments.W, axis=1), 1.0, rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("share", "held"), [(0.01, 1), (0.25, 1), (0.5, 2), (0.99, 3)])
def test_whole_recordings_are_held_out_of_every_class(segments: Segments, share: float, held: int, seed: int) -> None:
    held_out = hold_out(segments, share, seed)
    for label in (2, 4):
        mine = segments.labels == label
        inside = set(segments.recordings[mine & held_out])
        outside = set(segments.recordings[mine & ~held_out])
        assert not inside & outside
        assert (len(inside), len(outside)) == (held, 4 - held)


def test_the_split_depends_on_the_seed_alone(segments: Segments) -> None:
    splits = [hold_out(segments, 0.5, seed).tolist() for seed in (0, 0, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert any(split != splits[0] for split in splits[2:])


def test_every_origin_is_held_out_in_proportion() -> None:
    origins = ["font"] * 12 + ["notes"] * 6 + ["piece"] * 6
    solos = tuple(Solo(Path(f"{number}.flac"), "violin", origin) for number, origin in enumerate(origins))
    numbers = np.arange(len(solos))
    segments = Segments(np.zeros((24, 1, 1), np.float32), np.zeros(24, np.int64), numbers, solos, "")
    splits = [hold_out(segments, 1 / 3, seed) for seed in range(5)]
    for held_out in splits:
        assert [int(held_out[part].sum()) for part in (slice(0, 12), slice(12, 18), slice(18, 24))] == [4, 2, 2]
    assert len({split.tobytes() for split in splits}) > 1


def test_what_is_factorised_is_kept_and_two_processes_agree(solos: list[Solo], tmp_path: Path) -> None:
    one = collect_segments(solos[:2] + solos[4:6], tmp_path, iterations=FEW)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "segments").iterdir()}
    assert len(kept) == 4
    again = collect_segments(solos[:2] + solos[4:6], tmp_path, iterations=FEW)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "segments").iterdir()} == kept
    two = collect_segments(solos[:2] + solos[4:6], tmp_path / "other", iterations=FEW, jobs=2)
    assert one.sha256 == again.sha256 == two.sha256
    assert np.array_equal(one.W, again.W)
    # One thread against several: the same factors but for the order of summation.
    np.testing.assert_allclose(one.W, two.W, rtol=1e-2, atol=1e-4)


def test_a_class_of_one_second_solos_is_refused(solos: list[Solo], tmp_path: Path) -> None:
    short = [Solo(_write(tmp_path / "violin" / f"{n}.wav", _tone(1.0)), "violin", "") for n in range(3)]
    with pytest.raises(
        TrainingDataError, match=r"violin has 0 recordings of at least 5 s \(of 3 files\).*longer solos"
    ):
        collect_segments([*solos, *short], tmp_path / "cache", iterations=FEW)


def test_a_class_of_one_recording_cannot_be_split(solos: list[Solo], tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"cello has 1 recordings.*held out"):
        collect_segments(solos[:1], tmp_path, iterations=FEW)
