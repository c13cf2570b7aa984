"""Both stems in every format: length, levels, their sum, the same bytes, and no file where it failed."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from app.stem_formats import BITS, STEM_FORMATS, Bits, StemFormat
from tests.media import noise
from worker.errors import Canceled, StemFormatUnfit
from worker.media.quantisation import GAIN_STEP_DB, fitting_gain_db, quantised
from worker.media.resampling import Resampler
from worker.media.stems import StemPair, check_fit

RATES = (4_000, 8_000, 44_100, 48_000, 96_001, 192_000, 384_000)
CHANNELS = (1, 2, 3, 6, 8)
LENGTHS = (1, 4_096, 70_001)
LOSSLESS: tuple[tuple[StemFormat, Bits], ...] = tuple((known, bits) for known in STEM_FORMATS for bits in BITS[known])
KINDS: tuple[tuple[StemFormat, Bits | None], ...] = (*LOSSLESS, ("mp3", None))


def write(
    folder: Path,
    kind: tuple[StemFormat, Bits | None],
    left: np.ndarray,
    right: np.ndarray,
    rate: int = 44_100,
    step: int = 33_333,
) -> StemPair:
    folder.mkdir(exist_ok=True)
    with StemPair(folder, *kind, rate, left.shape[0]) as stems:
        for at in range(0, left.shape[1], step):
            stems.write(left[:, at : at + step], right[:, at : at + step])
        stems.finish()
    assert stems.samples == left.shape[1]
    assert sorted(path.name for path in folder.iterdir()) == [f"left.{kind[0]}", f"right.{kind[0]}"]
    return stems


def read(folder: Path, stem_format: StemFormat) -> list[tuple[np.ndarray, int]]:
    heard = [soundfile.read(str(folder / f"{side}.{stem_format}"), always_2d=True) for side in ("left", "right")]
    return [(sound.T, rate) for sound, rate in heard]


def accuracy(bits: Bits) -> float:
    """The largest error of a sum of two stems: half a step each; or the rounding of floats near full scale."""
    return 2.0**-23 if bits == 32 else 2.0 ** (1 - bits)


@pytest.mark.parametrize("kind", LOSSLESS, ids=str)
@pytest.mark.parametrize("rate", RATES)
def test_rate_channels_length_and_sum(tmp_path: Path, kind: tuple[StemFormat, Bits], rate: int) -> None:
    for channels, length in itertools.product(CHANNELS, LENGTHS):
        mix, left = noise(channels, length, 1), noise(channels, length, 2)
        stems = write(tmp_path, kind, left, mix - left, rate)
        assert (stems.gain_db, stems.warnings, stems.sample_rate) == (0.0, [], rate)
        heard = read(tmp_path, kind[0])
        assert [(sound.shape, found) for sound, found in heard] == [(mix.shape, rate)] * 2
        assert np.abs(heard[0][0] - left).max() <= accuracy(kind[1])
        # `mix - left` is rounded as well, to floats.
        assert np.abs(heard[0][0] + heard[1][0] - mix).max() <= accuracy(kind[1]) + 2.0**-23
        with av.open(str(tmp_path / f"left.{kind[0]}")) as container:
            assert sum(frame.samples for frame in container.decode(audio=0)) == length


@pytest.mark.parametrize("kind", [("wav", 16), ("flac", 16)], ids=str)
def test_stems_of_a_16_bit_recording_add_up_to_it_within_a_step(tmp_path: Path, kind: tuple[StemFormat, Bits]) -> None:
    steps = np.random.default_rng(0).integers(-3_000, 3_000, (2, 50_000))
    mix, left = (steps / 32_768).astype(np.float32), noise(2, 50_000, 2)
    write(tmp_path, kind, left, mix - left)
    total = sum(np.round(sound * 32_768).astype(int) for sound, _ in read(tmp_path, kind[0]))
    assert np.abs(total - steps).max() <= 1
    assert (total == steps).mean() > 0.99
    # And nothing is added to silence.
    write(tmp_path, kind, mix, 0 * mix)
    heard = read(tmp_path, kind[0])
    np.testing.assert_array_equal(np.round(heard[0][0] * 32_768), steps)
    assert not heard[1][0].any()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_lines_up_with_wav(tmp_path: Path, rate: int, channels: int) -> None:
    length = 30_000
    times = np.arange(length) / rate
    low = min(rate, 48_000)
    left = np.stack([np.sin(2 * np.pi * low * 0.03 * (1 + k) * times) for k in range(channels)]).astype(np.float32) / 3
    stems = write(tmp_path, ("mp3", None), left, -left, rate)
    assert stems.gain_db == 0.0
    ratio = stems.sample_rate / rate
    assert (ratio == 1.0) == (stems.warnings == [])
    for (sound, found), sign in zip(read(tmp_path, "mp3"), (1, -1), strict=True):
        assert found == stems.sample_rate
        assert sound.shape == (channels, round(length * ratio))
        times = np.arange(sound.shape[1]) / found
        tone = np.stack([np.sin(2 * np.pi * low * 0.03 * (1 + k) * times) for k in range(channels)]) / 3
        inside = slice(sound.shape[1] // 5, -sound.shape[1] // 5)
        # A sample too early or too late would be an error of 0.05 at least.
        assert np.abs(sound - sign * tone)[:, inside].max() < 0.02


def test_mp3_of_another_rate_is_told_of(tmp_path: Path) -> None:
    sound = noise(2, 20_000)
    stems = write(tmp_path, ("mp3", None), sound, sound, 96_000)
    assert stems.sample_rate == 48_000
    (warning,) = stems.warnings
    assert "96,000 samples a second: the stems have 48,000" in warning


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_same_sound_gives_the_same_bytes(tmp_path: Path, kind: tuple[StemFormat, Bits | None]) -> None:
    left, right = noise(2, 100_000, 1), noise(2, 100_000, 2)
    for rate in (44_100, 96_000):
        for name, step in (("one", 33_333), ("two", 1_000)):
            write(tmp_path / name, kind, left, right, rate, step)
        for side in ("left", "right"):
            file = f"{side}.{kind[0]}"
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_too_loud_is_turned_down_on_both_sides_alike(
    tmp_path: Path, kind: tuple[StemFormat, Bits | None]
) -> None:
    left, right = noise(2, 60_000, 1), noise(2, 60_000, 2)
    left[1, 30_000], right[0, 50_000] = -1.7, 2.5
    stems = write(tmp_path, kind, left, right)
    heard = [sound for sound, _ in read(tmp_path, kind[0])]
    if kind == ("wav", 32):
        assert (stems.gain_db, stems.warnings) == (0.0, [])
        assert np.abs(heard[1]).max() == 2.5
        return
    # 20 log10(2.5) = 7.9588
    assert stems.gain_db in (-7.96, -7.97)
    (warning,) = stems.warnings
    assert f"{-stems.gain_db:.2f} dB quieter" in warning
    gain = 10 ** (stems.gain_db / 20)
    if kind[1] is not None:
        assert np.abs(heard[1]).max() == pytest.approx(1.0, abs=0.002)
        for sound, true in zip(heard, (left, right), strict=True):
            assert np.abs(sound - gain * true).max() <= accuracy(kind[1])
    else:
        for sound, true in zip(heard, (left, right), strict=True):
            # Levels, not samples: noise above 16 kHz is not kept.
            assert np.std(sound) / np.std(gain * true) == pytest.approx(1.0, abs=0.1)


def test_a_peak_that_resampling_makes_counts(tmp_path: Path) -> None:
    # A square wave at full scale: with its overtones cut off it overshoots.
    wave = np.sign(np.sin(2 * np.pi * 1_000 * (np.arange(96_000) + 0.5) / 96_000))[None].astype(np.float32)
    assert write(tmp_path, ("mp3", None), wave, 0 * wave, 96_000).gain_db < -0.1
    assert write(tmp_path, ("mp3", None), wave, 0 * wave, 48_000).gain_db == 0.0


@given(
    lowest=st.floats(-(2.0**100), 0.0),
    highest=st.floats(0.0, 2.0**100),
    bits=st.sampled_from([16, 24, None]),
)
def test_the_gain_fits_and_is_the_largest_of_its_steps(lowest: float, highest: float, bits: Bits | None) -> None:
    gain_db = fitting_gain_db(lowest, highest, bits)
    assert gain_db <= 0.0

    def fits(gain_db: float) -> bool:
        block = np.array([lowest, highest]) * 10 ** (gain_db / 20)
        if bits is None:
            return bool(np.abs(block).max() <= 1.0 + 1e-9)
        try:
            quantised(block.astype(np.float32), bits)
        except ValueError:
            return False
        return True

    assert fits(gain_db)
    assert gain_db == 0.0 or not fits(0.0)
    # One step more would be too much, but for what rounding to the nearest integer forgives.
    assert gain_db == 0.0 or max(-lowest, highest) * 10 ** ((gain_db + GAIN_STEP_DB) / 20) > 1.0 - 2.0**-14


def test_full_scale_of_integers_needs_no_gain() -> None:
    assert fitting_gain_db(-1.0, 32_767 / 32_768, 16) == 0.0
    assert fitting_gain_db(-1.0, 1.0, 16) == -0.01
    assert fitting_gain_db(-1.0, 1.0, None) == 0.0


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_failure_leaves_nothing(tmp_path: Path, kind: tuple[StemFormat, Bits | None]) -> None:
    sound = noise(1, 200_000)

    def fail() -> None:
        with StemPair(tmp_path, *kind, 44_100, 1) as stems:
            stems.write(sound, sound)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [("wav", 16), ("flac", 24), ("mp3", None)], ids=str)
def test_it_stops_between_blocks_and_leaves_nothing(tmp_path: Path, kind: tuple[StemFormat, Bits | None]) -> None:
    sound = noise(1, 200_000)
    seen: list[float] = []

    def stop() -> None:
        with StemPair(tmp_path, *kind, 44_100, 1) as stems:
            stems.write(sound, sound)
            stems.finish(seen.append, lambda: len(seen) == 2)

    with pytest.raises(Canceled):
        stop()
    assert 0.0 < seen[0] < seen[1] < 1.0
    assert list(tmp_path.iterdir()) == []


_FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from worker.failures import public_error
from worker.media.stems import StemPair

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
kind, bits = sys.argv[1], int(sys.argv[2]) or None
try:
    with StemPair(Path(sys.argv[3]), kind, bits, 44_100, 1) as stems:
        sound = np.random.default_rng(0).standard_normal((1, int(sys.argv[4]))).astype(np.float32) / 10
        stems.write(sound, sound)
        # What waits lies in files that are read, not written: the second pass meets the limit by itself.
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 100_000))
        stems.finish()
except Exception as error:
    print(public_error(error).code)
"""


# 20,000 samples of floats fit into the limit, so that the second pass fails; 200,000 do not.
@pytest.mark.parametrize(
    ("kind", "samples"),
    [(kind, 200_000) for kind in KINDS] + [(kind, 20_000) for kind in KINDS if kind[1] != 32],
    ids=str,
)
def test_a_full_disk_is_said_in_plain_words_and_leaves_nothing(
    tmp_path: Path, kind: tuple[StemFormat, Bits | None], samples: int
) -> None:
    arguments = [kind[0], str(kind[1] or 0), str(tmp_path), str(samples)]
    done = subprocess.run([sys.executable, "-c", _FULL, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "storage_full", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_a_format_cannot_hold_is_said_in_plain_words(tmp_path: Path) -> None:
    for known, rate, channels in (("wav", 999_999, 32), ("flac", 655_350, 8), ("mp3", 384_000, 2)):
        check_fit(known, rate, channels)  # type: ignore[arg-type]  # the loop widens the literal
    with pytest.raises(StemFormatUnfit, match=r"6 channels.*format flac or wav") as caught:
        StemPair(tmp_path, "mp3", None, 44_100, 6)
    assert caught.value.code == "format_unfit"
    with pytest.raises(StemFormatUnfit, match=r"9 channels.*format wav"):
        check_fit("flac", 44_100, 9)
    with pytest.raises(StemFormatUnfit, match=r"700,000 samples a second.*format wav"):
        check_fit("flac", 700_000, 1)
    assert list(tmp_path.iterdir()) == []


def test_blocks_of_another_shape_are_refused(tmp_path: Path) -> None:
    for left, right in ((noise(2, 10), noise(2, 9)), (noise(1, 10), noise(1, 10)), (noise(2, 9), np.zeros((2, 9)))):
        with (
            pytest.raises(ValueError, match="two blocks of float32"),
            StemPair(tmp_path, "flac", 24, 8_000, 2) as stems,
        ):
            stems.write(left, right)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("rate", "new_rate"), [(96_000, 48_000), (44_117, 48_000), (4_000, 8_000), (384_000, 48_000)])
def test_resampling_keeps_the_place_of_a_sound(rate: int, new_rate: int) -> None:
    for length in (1, 2, 5, 100, 50_001):
        tone = np.sin(0.1 * np.arange(length) * min(rate, new_rate) / rate)[None].astype(np.float32)
        results = []
        for step in (777, length):
            resampler = Resampler(1, rate, new_rate)
            blocks = [resampler.push(tone[:, at : at + step]) for at in range(0, length, step)]
            results.append(np.concatenate([*blocks, resampler.finish()], axis=1)[0])
        np.testing.assert_array_equal(results[0], results[1])
        assert len(results[0]) == max(1, round(length * new_rate / rate))
        if length > 1_000:
            true = np.sin(0.1 * np.arange(len(results[0])) * min(rate, new_rate) / new_rate)
            assert np.abs(results[0] - true)[100:-100].max() < 1e-4
