"""Stems: every sample, no clipping, the same bytes, and no file where it failed."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.media import noise
from worker.media import stems
from worker.media.limits import MediaLimits
from worker.media.sound import SoundReader
from worker.media.stems import StemWriter


def write(path: Path, sound: np.ndarray, rate: int, step: int = 777) -> None:
    with StemWriter(path, rate, sound.shape[0]) as stem:
        for at in range(0, sound.shape[1], step):
            stem.write(sound[:, at : at + step])
    assert stem.samples == sound.shape[1]


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_stem_comes_back_bit_for_bit(tmp_path: Path, rate: int, channels: int) -> None:
    sound = noise(channels, 12345) * 20
    assert np.abs(sound).max() > 1
    path = tmp_path / "left.wav"
    write(path, sound, rate)
    read, found = soundfile.read(str(path), dtype="float32", always_2d=True)
    assert found == rate
    np.testing.assert_array_equal(read.T, sound)
    with SoundReader(path, MediaLimits()) as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks()), axis=1), sound)


def test_it_is_a_plain_wav_of_floats(tmp_path: Path) -> None:
    path = tmp_path / "left.wav"
    write(path, noise(2, 1000), 44100)
    content = path.read_bytes()
    assert content[:4] == b"RIFF"
    assert content[8:12] == b"WAVE"
    assert struct.unpack("<I", content[4:8])[0] == len(content) - 8
    assert struct.unpack("<I", content[content.index(b"data") + 4 :][:4])[0] == 1000 * 2 * 4
    info = soundfile.info(str(path))
    assert (info.format, info.subtype, info.frames) == ("WAVEX", "FLOAT", 1000)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "pcm_f32le"


def test_the_same_samples_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = noise(2, 5000)
    write(tmp_path / "a.wav", sound, 44100, 777)
    write(tmp_path / "b.wav", sound, 44100, 1024)
    content = (tmp_path / "a.wav").read_bytes()
    assert content == (tmp_path / "b.wav").read_bytes()
    # libsndfile's PEAK chunk holds the time of writing.
    assert b"PEAK" not in content


def test_beyond_4_gib_it_stays_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stems, "RIFF_MAX_BYTES", 10_000)
    sound = noise(2, 5000)
    write(tmp_path / "a.wav", sound, 44100)
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RF64"
    read, _ = soundfile.read(str(tmp_path / "a.wav"), dtype="float32", always_2d=True)
    np.testing.assert_array_equal(read.T, sound)
    with SoundReader(tmp_path / "a.wav", MediaLimits()) as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks()), axis=1), sound)


def test_an_empty_stem_is_a_file_without_samples(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.zeros((2, 0), np.float32), 44100)
    assert soundfile.info(str(tmp_path / "a.wav")).frames == 0


def _fail_midway(path: Path) -> None:
    with StemWriter(path, 44100, 1) as stem:
        stem.write(noise(1, 1000))
        assert path.exists()
        raise RuntimeError("half way")


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="half way"):
        _fail_midway(tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(soundfile.LibsndfileError), StemWriter(tmp_path / "no" / "a.wav", 44100, 1):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "block", [np.zeros((1, 10), np.float32), np.zeros((2, 10)), np.zeros(10, np.float32)], ids=["shape", "type", "flat"]
)
def test_another_shape_or_type_is_refused(tmp_path: Path, block: np.ndarray) -> None:
    with (
        pytest.raises(ValueError, match=r"float32 of shape \(2, samples\)"),
        StemWriter(tmp_path / "a.wav", 8000, 2) as stem,
    ):
        stem.write(block)
    with pytest.raises(RuntimeError, match="with block"):
        StemWriter(tmp_path / "b.wav", 8000, 2).write(block)
    assert list(tmp_path.iterdir()) == []
