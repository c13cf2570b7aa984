"""WAV: every sample, no clipping, the same bytes, and no file where it failed."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from app.stem_formats import BITS, Bits
from tests.media import noise
from worker.media import wav
from worker.media.limits import MediaLimits
from worker.media.sound import SoundReader
from worker.media.wav import WavWriter


def write(path: Path, sound: np.ndarray, rate: int, step: int = 777, bits: Bits = 32) -> None:
    with WavWriter(path, rate, sound.shape[0], bits) as stem:
        for at in range(0, sound.shape[1], step):
            stem.write(sound[:, at : at + step])
    assert stem.samples == sound.shape[1]


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_floats_come_back_bit_for_bit(tmp_path: Path, rate: int, channels: int) -> None:
    sound = noise(channels, 12345) * 20
    assert np.abs(sound).max() > 1
    path = tmp_path / "left.wav"
    write(path, sound, rate)
    read, found = soundfile.read(str(path), dtype="float32", always_2d=True)
    assert found == rate
    np.testing.assert_array_equal(read.T, sound)
    with SoundReader(path, MediaLimits()) as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks()), axis=1), sound)


@pytest.mark.parametrize("bits", BITS["wav"])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_is_a_plain_wav(tmp_path: Path, bits: Bits, channels: int) -> None:
    path = tmp_path / "left.wav"
    # An odd number of bytes, where there can be one: chunks are padded to even places.
    write(path, noise(channels, 1001), 44100, bits=bits)
    content = path.read_bytes()
    assert content[:4] == b"RIFF"
    assert content[8:12] == b"WAVE"
    assert struct.unpack("<I", content[4:8])[0] == len(content) - 8
    assert len(content) % 2 == 0
    assert struct.unpack("<I", content[content.index(b"data") + 4 :][:4])[0] == 1001 * channels * bits // 8
    info = soundfile.info(str(path))
    subtype = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}[bits]
    assert (info.format, info.subtype, info.frames) == ("WAVEX", subtype, 1001)
    codec = {16: "pcm_s16le", 24: "pcm_s24le", 32: "pcm_f32le"}[bits]
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == codec
        assert sum(frame.samples for frame in container.decode(stream)) == 1001


@pytest.mark.parametrize("bits", [16, 24])
def test_integers_are_the_nearest_ones(tmp_path: Path, bits: Bits) -> None:
    half = 1 << (bits - 1)
    steps = np.array([[-half, -half + 1, -1, 0, 1, 2, half - 1]])
    away = np.array([[0.4, -0.4, 0.3, 0.1, -0.4, 0.4, 0.4]]) if bits == 16 else 0.0
    write(tmp_path / "left.wav", ((steps + away) / half).astype(np.float32), 44100, bits=bits)
    read, _ = soundfile.read(str(tmp_path / "left.wav"), dtype="int32", always_2d=True)
    np.testing.assert_array_equal(read.T >> (32 - bits), steps)


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("value", [1.0, -1.001, 300.0, 1e30])
def test_integers_refuse_what_they_cannot_hold(tmp_path: Path, bits: Bits, value: float) -> None:
    with pytest.raises(ValueError, match=f"beyond full scale do not fit into {bits} bits"):
        write(tmp_path / "left.wav", np.array([[0.0, value]], np.float32), 44100, bits=bits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bits", BITS["wav"])
def test_the_same_samples_give_the_same_bytes(tmp_path: Path, bits: Bits) -> None:
    sound = noise(2, 5000)
    write(tmp_path / "a.wav", sound, 44100, 777, bits)
    write(tmp_path / "b.wav", sound, 44100, 1024, bits)
    content = (tmp_path / "a.wav").read_bytes()
    assert content == (tmp_path / "b.wav").read_bytes()
    # libsndfile's PEAK chunk holds the time of writing.
    assert b"PEAK" not in content


def test_beyond_4_gib_it_stays_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "RIFF_MAX_BYTES", 10_000)
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
    with WavWriter(path, 44100, 1) as stem:
        stem.write(noise(1, 1000))
        assert path.exists()
        raise RuntimeError("half way")


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="half way"):
        _fail_midway(tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(soundfile.LibsndfileError), WavWriter(tmp_path / "no" / "a.wav", 44100, 1):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "block", [np.zeros((1, 10), np.float32), np.zeros((2, 10)), np.zeros(10, np.float32)], ids=["shape", "type", "flat"]
)
def test_another_shape_or_type_is_refused(tmp_path: Path, block: np.ndarray) -> None:
    with (
        pytest.raises(ValueError, match=r"float32 of shape \(2, samples\)"),
        WavWriter(tmp_path / "a.wav", 8000, 2) as stem,
    ):
        stem.write(block)
    with pytest.raises(RuntimeError, match="with block"):
        WavWriter(tmp_path / "b.wav", 8000, 2).write(block)
    assert list(tmp_path.iterdir()) == []
