"""MP3: what two decoders that know the LAME tag make of it, and the tag itself."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.media import noise
from worker.media.mp3 import SAMPLE_RATES, Mp3Writer, nearest_rate

# Around one frame and two, of 576 and of 1,152 samples, and where FFmpeg's muxer alone gets the padding wrong:
# 1 to 47 beyond a frame.
LENGTHS = (1, 46, 47, 48, 575, 576, 577, 623, 1151, 1152, 1153, 1199, 1200, 2304, 2305, 9999)
# Below 25 kHz FFmpeg's decoder forgets the delay where it ends in the frame in which the sound ends as well.
SHORTEST_FOR_FFMPEG = 47


def write(path: Path, sound: np.ndarray, rate: int, step: int = 44_100) -> bytes:
    with Mp3Writer(path, rate, sound.shape[0]) as stem:
        for at in range(0, sound.shape[1], step):
            stem.write(sound[:, at : at + step])
    return path.read_bytes()


def by_ffmpeg(path: Path) -> np.ndarray:
    # The format is named: by its content alone FFmpeg takes some files of two or three frames for something else.
    with av.open(str(path), format="mp3") as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1)


def by_mpg123(path: Path) -> np.ndarray:
    sound: np.ndarray = soundfile.read(str(path), dtype="float32", always_2d=True)[0].T
    return sound


@pytest.mark.parametrize("rate", SAMPLE_RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_decoders_give_back_the_exact_length(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "left.mp3"
    for length in LENGTHS:
        write(path, noise(channels, length), rate)
        assert by_mpg123(path).shape == (channels, length)
        if rate > 25_000 or length >= SHORTEST_FOR_FFMPEG:
            assert by_ffmpeg(path).shape == (channels, length)
    assert soundfile.info(str(path)).samplerate == rate


@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_what_decoders_give_back_lines_up_to_the_sample(tmp_path: Path, rate: int) -> None:
    times = np.arange(20_000) / rate
    # Within what every bit rate keeps; a shift by one sample would be an error of 0.3.
    sound = np.stack([np.sin(2 * np.pi * rate * share * times) for share in (0.05, 0.031)]).astype(np.float32) / 2
    write(tmp_path / "left.mp3", sound, rate)
    for heard in (by_ffmpeg(tmp_path / "left.mp3"), by_mpg123(tmp_path / "left.mp3")):
        # The encoder sees a tone begin and end; in between it has it.
        assert np.abs(heard - sound)[:, 3_000:-3_000].max() < 0.01


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    sound = noise(2, 50_000)
    contents = {write(tmp_path / f"{step}.mp3", sound, 44_100, step) for step in (1, 777, 44_100)}
    assert len(contents) == 1
    (content,) = contents
    assert content.count(b"Lavf") == 1
    assert content[content.index(b"Lavf") + 4 :].startswith(bytes(5)), "without FFmpeg's version"


@pytest.mark.parametrize(
    ("rate", "channels", "side_bytes"), [(44_100, 2, 32), (44_100, 1, 17), (22_050, 2, 17), (22_050, 1, 9)]
)
def test_the_tag_is_as_lame_defines_it(tmp_path: Path, rate: int, channels: int, side_bytes: int) -> None:
    content = write(tmp_path / "left.mp3", noise(channels, 50_000), rate)
    place = 4 + side_bytes
    assert content[place : place + 4] in (b"Xing", b"Info")
    frames = int.from_bytes(content[place + 8 : place + 12], "big")
    trimmed = int.from_bytes(content[place + 141 : place + 144], "big")
    delay, padding = trimmed >> 12, trimmed & 0xFFF
    assert delay == 576
    assert frames * (1152 if rate > 25_000 else 576) - delay - padding == 50_000
    # CRC-16/ARC, over the frame up to the CRC itself.
    remainder = 0
    for byte in content[: place + 154]:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0xA001 * (remainder & 1))
    assert content[place + 154 : place + 156] == remainder.to_bytes(2, "big")


@pytest.mark.parametrize(
    ("rate", "nearest"),
    [(4_000, 8_000), (8_000, 8_000), (8_001, 11_025), (37_800, 44_100), (48_000, 48_000), (96_000, 48_000)],
)
def test_another_rate_becomes_the_next_higher(rate: int, nearest: int) -> None:
    assert nearest_rate(rate) == nearest


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def fail_midway() -> None:
        with Mp3Writer(tmp_path / "left.mp3", 44_100, 1) as stem:
            stem.write(noise(1, 50_000))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_midway()
    with pytest.raises(FileNotFoundError), Mp3Writer(tmp_path / "no" / "left.mp3", 44_100, 1):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_empty_one_is_a_file_without_samples(tmp_path: Path) -> None:
    assert b"Info" in write(tmp_path / "left.mp3", np.zeros((1, 0), np.float32), 44_100)
