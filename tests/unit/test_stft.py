"""The transform: perfect reconstruction at every rate, block by block, and librosa as oracle."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from models.errors import InvalidAudio
from models.stft import (
    BLOCK_FRAMES,
    HOP,
    N_FFT,
    StreamingISTFT,
    StreamingSTFT,
    geometry,
    istft,
    magnitude,
    pooled_magnitude,
    stft,
)
from tests.unit.signals import noise

RATES = (8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000)


@pytest.mark.parametrize("sample_rate", RATES)
def test_a_bin_is_as_wide_at_every_rate(sample_rate: int) -> None:
    sizes = geometry(sample_rate)
    assert sizes.n_fft == 2 * sizes.hop
    assert sizes.n_freq == sizes.hop + 1
    assert sample_rate / sizes.n_fft == pytest.approx(44_100 / 4096, rel=2e-3)


def test_the_report_sizes_at_its_rate() -> None:
    assert (geometry(44_100).n_fft, geometry(44_100).hop, geometry(44_100).n_freq) == (4096, 2048, 2049)


@pytest.mark.parametrize("sample_rate", [0, -44_100, 3_999, 10_000_000])
def test_impossible_rates_are_refused(sample_rate: int) -> None:
    with pytest.raises(InvalidAudio, match="sample rate"):
        geometry(sample_rate)


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("samples", [1, 7, 1_600, 2_048, 4_096, 50_001])
def test_the_inverse_gives_the_sound_back(sample_rate: int, channels: int, samples: int) -> None:
    audio = noise(channels, samples)
    assert np.abs(istft(stft(audio, sample_rate), sample_rate, samples) - audio).max() < 1e-6


@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("piece", [1_000, 2_048, 44_100])
def test_a_stream_equals_the_whole(sample_rate: int, piece: int) -> None:
    audio = noise(2, 12 * sample_rate + 17)
    analysis, synthesis = StreamingSTFT(sample_rate, 2), StreamingISTFT(sample_rate, 2)
    blocks = []
    for start in range(0, audio.shape[1], piece):
        blocks += list(analysis.push(audio[:, start : start + piece]))
    blocks += list(analysis.flush())
    assert all(block.shape[2] == BLOCK_FRAMES for block in blocks[:-1])
    np.testing.assert_array_equal(np.concatenate(blocks, axis=2), stft(audio, sample_rate))
    back = np.concatenate([synthesis.push(block) for block in blocks], axis=1)[:, : audio.shape[1]]
    assert np.abs(back - audio).max() < 1e-6


def test_it_is_librosas_transform() -> None:
    audio = noise(1, 30_000)
    oracle = librosa.stft(audio[0], n_fft=N_FFT, hop_length=HOP)
    ours = stft(audio)[0]
    # librosa leaves out the frame that only part of the last hop reaches.
    np.testing.assert_allclose(ours[:, : oracle.shape[1]], oracle, atol=2e-5)
    assert ours.shape[1] == oracle.shape[1] + 1


def test_nothing_in_gives_nothing_out() -> None:
    assert stft(np.zeros((2, 0), np.float32)).shape == (2, 2049, 0)


def test_pooling_keeps_one_channel_and_does_not_cancel_opposite_ones() -> None:
    mono = noise(1, 10_000)
    np.testing.assert_allclose(magnitude(mono), np.abs(stft(mono)[0]), rtol=1e-5, atol=1e-6)
    opposite = pooled_magnitude(stft(np.concatenate([mono, -mono])))
    np.testing.assert_allclose(opposite, magnitude(mono), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(100, np.float32), "axes"),
        (np.zeros((0, 100), np.float32), "axes"),
        (np.full((1, 100), np.nan, np.float32), "finite"),
        (np.full((1, 100), -3.4e38, np.float32), "beyond 1e\\+12 times full scale"),
        (np.full((1, 100), np.inf, np.float32), "finite"),
    ],
)
def test_bad_audio_is_named(audio: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidAudio, match=message):
        stft(audio)


def test_a_stream_keeps_its_channels() -> None:
    analysis = StreamingSTFT(44_100, 2)
    with pytest.raises(InvalidAudio, match="1 channels, 2 were announced"):
        analysis.push(noise(1, 10))


def test_too_few_frames_for_the_length_asked() -> None:
    with pytest.raises(InvalidAudio, match="asked for"):
        istft(stft(noise(1, 10_000)), 44_100, 60_000)
