"""Short-time Fourier transform at the report's resolution, whole or as a stream.

Conventions: Hann window, hop of half a window, frame t centred on sample t·hop, zeros beyond both
ends; spectra are complex64 (channels, freq, frames).

At 44.1 kHz the window has 4,096 samples (report section 2.3.2). At another rate the window keeps its
*duration*, so a frequency bin keeps its width of 10.77 Hz and bases learnt at 44.1 kHz fit any
recording row by row: nothing is resampled, and stems have the mix's own rate and length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import InvalidAudio

SAMPLE_RATE = 44_100  # Hz, the rate that bases are learnt at
N_FFT = 4096  # samples at SAMPLE_RATE
HOP = N_FFT // 2  # samples at SAMPLE_RATE
N_FREQ = N_FFT // 2 + 1
BLOCK_SECONDS = 5.0  # length of the segments that are factorised one by one (report section 2.2.1)
BLOCK_FRAMES = round(BLOCK_SECONDS * SAMPLE_RATE / HOP)  # 108
LARGEST_SAMPLE = 1e12  # times full scale: energies of what is larger overflow
MIN_SAMPLE_RATE = 4_000  # Hz
MAX_SAMPLE_RATE = 768_000  # Hz


@dataclass(frozen=True, slots=True)
class Geometry:
    """Window length, hop (samples) and number of frequency bins at one sample rate."""

    n_fft: int
    hop: int
    n_freq: int


def geometry(sample_rate: int) -> Geometry:
    """Return the transform's sizes for audio at `sample_rate` Hz: the window that lasts as long as
    4,096 samples do at 44.1 kHz, rounded to an even number of samples.

    Raises
    ------
    InvalidAudio
        If the rate is outside 4 kHz to 768 kHz.
    """
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise InvalidAudio(
            f"a sample rate of {sample_rate} Hz is not supported; between {MIN_SAMPLE_RATE} and {MAX_SAMPLE_RATE} Hz is"
        )
    hop = round(HOP * sample_rate / SAMPLE_RATE)
    return Geometry(n_fft=2 * hop, hop=hop, n_freq=hop + 1)


def validate_audio(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `audio` as contiguous float32 (channels, samples), or say what is wrong with it.

    Raises
    ------
    InvalidAudio
        If it has not two axes, no channel, or holds NaN, infinity or what squares to infinity.
    """
    checked = np.ascontiguousarray(audio, dtype=np.float32)
    if checked.ndim != 2 or checked.shape[0] == 0:
        raise InvalidAudio(f"audio must have the axes (channels, samples), got shape {checked.shape}")
    if not np.isfinite(checked).all():
        raise InvalidAudio(
            "audio holds samples that are not finite (NaN or infinity); replace them, with 0 for instance"
        )
    if float(np.abs(checked).max(initial=0.0)) > LARGEST_SAMPLE:
        raise InvalidAudio(
            f"audio holds samples beyond {LARGEST_SAMPLE:g} times full scale, which is no sound; export it again"
        )
    return checked


def stft(audio: NDArray[np.float32], sample_rate: int = SAMPLE_RATE) -> NDArray[np.complex64]:
    """Transform a whole recording.

    Parameters
    ----------
    audio : np.ndarray [shape=(channels, samples), float32, full scale 1.0]
    sample_rate : int [Hz]

    Returns
    -------
    np.ndarray [shape=(channels, freq, frames), complex64]
        frames is 2 + (samples - 1) // hop: enough that two windows cover every sample.

    Raises
    ------
    InvalidAudio
        See :func:`validate_audio` and :func:`geometry`.
    """
    analysis = StreamingSTFT(sample_rate, channels=audio.shape[0] if audio.ndim == 2 else 1, block_frames=None)
    analysis.push(audio)
    blocks = list(analysis.flush())
    if not blocks:
        return np.zeros((audio.shape[0], geometry(sample_rate).n_freq, 0), np.complex64)
    return blocks[0]


def istft(spectrum: NDArray[np.complex64], sample_rate: int, length: int) -> NDArray[np.float32]:
    """Invert :func:`stft`.

    Parameters
    ----------
    spectrum : np.ndarray [shape=(channels, freq, frames), complex64]
    sample_rate : int [Hz]
    length : int [samples]

    Returns
    -------
    np.ndarray [shape=(channels, length), float32]
    """
    synthesis = StreamingISTFT(sample_rate, channels=spectrum.shape[0])
    audio = synthesis.push(spectrum)
    if audio.shape[1] < length:
        raise InvalidAudio(f"{spectrum.shape[2]} frames hold {audio.shape[1]} samples, {length} were asked for")
    return audio[:, :length]


def magnitude(audio: NDArray[np.float32], sample_rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """Return the magnitude V of a recording, channels pooled by their root mean square.

    Parameters
    ----------
    audio : np.ndarray [shape=(channels, samples), float32, full scale 1.0]
    sample_rate : int [Hz]

    Returns
    -------
    np.ndarray [shape=(freq, frames), float32]
    """
    return pooled_magnitude(stft(audio, sample_rate))


def pooled_magnitude(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Root mean square over channels of |spectrum|: (channels, freq, frames) complex64 to (freq, frames)
    float32. For one channel, or two that are equal, this is the magnitude itself; channels in opposite
    phase do not cancel, as they would in a downmix.
    """
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    pooled: NDArray[np.float32] = np.sqrt(power.mean(axis=0), dtype=np.float32)
    return pooled


class StreamingSTFT:
    """Analysis of a recording that arrives piece by piece, in memory that does not grow with it.

    `block_frames` frames come out at a time (all at the end, if None), the last block shorter.
    """

    def __init__(self, sample_rate: int, channels: int, block_frames: int | None = BLOCK_FRAMES) -> None:
        self._geometry = geometry(sample_rate)
        self._channels = channels
        self._block_frames = block_frames
        # Half a window of zeros before the first sample centres frame 0 on it.
        self._parts: list[NDArray[np.float32]] = [np.zeros((channels, self._geometry.hop), np.float32)]
        self._buffered = self._geometry.hop
        self._received = 0
        self._emitted = 0
        self._window = torch.hann_window(self._geometry.n_fft, periodic=True)

    def push(self, audio: NDArray[np.float32]) -> Iterator[NDArray[np.complex64]]:
        """Take samples (channels, samples) and return the blocks that they complete, an iterator of
        (channels, freq, frames) complex64.

        Raises
        ------
        InvalidAudio
            See :func:`validate_audio`.
        """
        samples = validate_audio(audio)
        if samples.shape[0] != self._channels:
            raise InvalidAudio(f"audio has {samples.shape[0]} channels, {self._channels} were announced")
        self._parts.append(samples)
        self._buffered += samples.shape[1]
        self._received += samples.shape[1]
        return self._complete_blocks()

    def flush(self) -> Iterator[NDArray[np.complex64]]:
        """End the recording and return what is left of it, as :meth:`push` does."""
        if self._received == 0:
            return
        hop, n_fft = self._geometry.hop, self._geometry.n_fft
        remaining = 2 + (self._received - 1) // hop - self._emitted
        missing = (remaining - 1) * hop + n_fft - self._buffered
        if missing > 0:
            self._parts.append(np.zeros((self._channels, missing), np.float32))
            self._buffered += missing
        yield from self._complete_blocks()
        remaining = 2 + (self._received - 1) // hop - self._emitted
        if remaining > 0:
            yield self._take(remaining)

    def _complete_blocks(self) -> Iterator[NDArray[np.complex64]]:
        if self._block_frames is None:
            return iter(())
        ready: list[NDArray[np.complex64]] = []
        needed = (self._block_frames - 1) * self._geometry.hop + self._geometry.n_fft
        while self._buffered >= needed:
            ready.append(self._take(self._block_frames))
        return iter(ready)

    def _take(self, frames: int) -> NDArray[np.complex64]:
        hop, n_fft = self._geometry.hop, self._geometry.n_fft
        buffer = np.concatenate(self._parts, axis=1)
        # (channels, samples) -> (channels, frames, n_fft), a view
        framed = torch.from_numpy(buffer).unfold(1, n_fft, hop)[:, :frames]
        # (channels, frames, freq) -> (channels, freq, frames)
        spectrum: NDArray[np.complex64] = torch.fft.rfft(framed * self._window).transpose(1, 2).contiguous().numpy()
        rest = buffer[:, frames * hop :]
        self._parts = [rest.copy()]
        self._buffered = rest.shape[1]
        self._emitted += frames
        return spectrum


class StreamingISTFT:
    """Synthesis of a recording block by block: least-squares overlap-add (Griffin and Lim 1984, eq. 6).

    The samples of a frame come out once the next frame has come, so output lags by half a window.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._geometry = geometry(sample_rate)
        hop = self._geometry.hop
        self._window = torch.hann_window(self._geometry.n_fft, periodic=True)
        squared = self._window.square()
        # Sum of the squared windows over one hop; between 0.5 and 1, as the hop is half a window.
        self._norm = squared[:hop] + squared[hop:]
        self._tail = torch.zeros((channels, hop))
        self._started = False

    def push(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Take a block (channels, freq, frames) and return the samples (channels, samples) that it
        completes: hop samples a frame, less the half window before the first sample.
        """
        hop, n_fft = self._geometry.hop, self._geometry.n_fft
        channels, _, n_frames = spectrum.shape
        if n_frames == 0:
            return np.zeros((channels, 0), np.float32)
        # (channels, freq, frames) -> (channels, frames, n_fft)
        frames = torch.fft.irfft(torch.from_numpy(spectrum).transpose(1, 2), n=n_fft) * self._window
        # First halves of the windows, each over the second half of the one before.
        seconds = torch.cat([self._tail[:, None, :], frames[:, :-1, hop:]], dim=1)
        audio = ((frames[:, :, :hop] + seconds) / self._norm).reshape(channels, n_frames * hop)
        self._tail = frames[:, -1, hop:].clone()
        if not self._started:
            self._started = True
            audio = audio[:, hop:]
        return np.ascontiguousarray(audio.numpy())
