"""The example duet: its film sounds like its stems, and its licence note names where they come from."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

EXAMPLES = Path(__file__).parents[2] / "examples"
FILM = EXAMPLES / "duet.mp4"
SAMPLE_RATE = 44_100
MAX_BYTES = 3_000_000
MIN_SNR_DB = 35.0  # AAC at 192 kbit/s; one sample of delay alone brings it under 20
AROUND = 4096  # samples of delay looked at to either side


def stem(side: str) -> NDArray[np.int16]:
    with wave.open(str(EXAMPLES / f"duet_{side}.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, SAMPLE_RATE)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


@pytest.fixture(scope="module")
def mix() -> NDArray[np.float64]:
    return (stem("left").astype(np.float64) + stem("right")) / 32768


@pytest.fixture(scope="module")
def decoded() -> NDArray[np.float64]:
    """The film's sound, put in place by its timestamps as a player does."""
    with av.open(str(FILM)) as film:
        stream = film.streams.audio[0]
        assert (stream.rate, stream.layout.name, stream.codec_context.name) == (SAMPLE_RATE, "mono", "aac")
        blocks = []
        for frame in film.decode(stream):
            assert frame.pts is not None
            assert frame.time_base is not None
            blocks.append((round(frame.pts * frame.time_base * SAMPLE_RATE), frame.to_ndarray()[0]))
    sound = np.zeros(max(at + len(block) for at, block in blocks))
    for at, block in blocks:
        sound[at : at + len(block)] = block
    return sound


def test_the_film_is_as_long_as_its_stems(decoded: NDArray[np.float64], mix: NDArray[np.float64]) -> None:
    assert len(stem("left")) == len(stem("right")) == len(mix)
    assert len(decoded) == len(mix)
    assert 12 <= len(mix) / SAMPLE_RATE <= 14


def test_the_film_is_in_line_with_its_stems(decoded: NDArray[np.float64], mix: NDArray[np.float64]) -> None:
    size = 2 * len(mix)
    product = np.fft.irfft(np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(mix, size)), size)
    around = np.concatenate([product[-AROUND:], product[: AROUND + 1]])
    assert around.argmax() - AROUND == 0


def test_the_stems_sum_to_the_film_s_sound(decoded: NDArray[np.float64], mix: NDArray[np.float64]) -> None:
    ratio = 10 * np.log10(np.sum(mix**2) / np.sum((decoded - mix) ** 2))
    assert ratio > MIN_SNR_DB


def test_the_mix_leaves_room_and_both_parts_are_heard(mix: NDArray[np.float64]) -> None:
    assert 0.5 < np.abs(mix).max() < 0.9
    left, right = (np.sqrt(np.mean((stem(side) / 32768) ** 2)) for side in ("left", "right"))
    assert 0.5 < left / right < 2


def test_the_stems_are_different_sounds() -> None:
    left, right = stem("left").astype(np.float64), stem("right").astype(np.float64)
    assert abs(float(np.corrcoef(left, right)[0, 1])) < 0.2


def test_the_pictures_move_and_last_as_long_as_the_sound(mix: NDArray[np.float64]) -> None:
    with av.open(str(FILM)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 640, 360)
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(stream)]
        assert stream.average_rate is not None
        seconds = len(frames) / float(stream.average_rate)
    assert 0 <= seconds - len(mix) / SAMPLE_RATE < 0.1
    for half in (slice(0, 320), slice(320, 640)):
        assert np.abs(frames[0][:, half].astype(int) - frames[len(frames) // 2][:, half]).mean() > 0.5


def test_the_files_are_small() -> None:
    for name in ("duet.mp4", "duet_left.wav", "duet_right.wav"):
        assert (EXAMPLES / name).stat().st_size < MAX_BYTES


def test_the_licence_note_names_every_source_and_file() -> None:
    note = (EXAMPLES / "LICENSE.md").read_text(encoding="utf-8")
    for wanted in (
        *("FluidR3", "fluid-soundfont-gm", "Frank Wen", "MIT"),
        *("Tux Paint", "tuxpaint-stamps-default", "General Public License, version 2", "Bill Kendrick"),
        *("duet.mp4", "duet_left.wav", "duet_right.wav", "public domain"),
    ):
        assert wanted in note
    assert (EXAMPLES / "GPL-2.txt").read_text(encoding="utf-8").lstrip().startswith("GNU GENERAL PUBLIC LICENSE")
