"""What happens to sound between a player and a listener, drawn at random: tuning, colour, noise, bandwidth, MP3.

Audio is mono float32 of shape (samples,) at 44.1 kHz; rooms are in :mod:`models.training.rendering`.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from models.stft import SAMPLE_RATE

Audio = NDArray[np.float32]

_COLOUR_POINTS_HZ = np.geomspace(60.0, 16_000.0, 8)
_STEEPNESS = 12  # of a bandwidth limit: some 36 dB an octave


def retune(audio: Audio, cents: float) -> Audio:
    """Play a recording faster and higher (or slower and lower), as a tape would: tuning and tempo in one."""
    import soxr  # noqa: PLC0415 - only those who train need it

    return np.asarray(
        soxr.resample(audio, SAMPLE_RATE * 2.0 ** (cents / 1200.0), SAMPLE_RATE, quality="MQ"), dtype=np.float32
    )


def colour(audio: Audio, gains_db: NDArray[np.floating]) -> Audio:
    """Filter by a smooth curve through 8 gains from 60 Hz to 16 kHz: a microphone, a body, a place in the room."""
    frequencies = np.fft.rfftfreq(len(audio), 1.0 / SAMPLE_RATE)
    gain = np.interp(np.log(np.maximum(frequencies, 1.0)), np.log(_COLOUR_POINTS_HZ), gains_db)
    return _filtered(audio, 10.0 ** (gain / 20.0))


def limit_bandwidth(audio: Audio, corner_hz: float) -> Audio:
    """Take away what lies above a corner, as telephones and old recorders do."""
    frequencies = np.fft.rfftfreq(len(audio), 1.0 / SAMPLE_RATE)
    return _filtered(audio, 1.0 / (1.0 + (frequencies / corner_hz) ** _STEEPNESS))


def compress_to_mp3(audio: Audio, level: float) -> Audio:
    """Encode and decode again; `level` 0 is 320 kbit/s, 0.9 is 56. Length and place in time stay as they are."""
    import soundfile  # noqa: PLC0415 - only those who train need it

    peak = max(float(np.abs(audio).max(initial=0.0)), 1e-9)
    file = io.BytesIO()
    soundfile.write(
        file,
        0.5 * audio / peak,
        SAMPLE_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=level,
        bitrate_mode="CONSTANT",
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.asarray(decoded[: len(audio)] * (2.0 * peak), dtype=np.float32)


def _filtered(audio: Audio, gain: NDArray[np.floating]) -> Audio:
    return np.asarray(np.fft.irfft(np.fft.rfft(audio) * gain, len(audio)), dtype=np.float32)
