"""How good a stem is: BSS Eval version 3 (Vincent, Gribonval and Févotte, *Performance measurement in
blind audio source separation*, IEEE TASLP 2006), with a distortion filter of 512 taps.

Same numbers as `mir_eval.separation.bss_eval_sources` without its permutation: estimate i is
measured against reference i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from models.errors import InvalidAudio

FILTER_TAPS = 512


@dataclass(frozen=True, slots=True)
class BSSEval:
    """Ratios in dB, one an estimate: signal to distortion, to interference, to artefacts."""

    sdr: NDArray[np.float64]
    sir: NDArray[np.float64]
    sar: NDArray[np.float64]


def bss_eval(references: NDArray[np.float32], estimates: NDArray[np.float32], taps: int = FILTER_TAPS) -> BSSEval:
    """Measure estimated stems against the true ones.

    Parameters
    ----------
    references, estimates : np.ndarray [shape=(sources, samples), float, full scale 1.0]
    taps : int [samples]
        Length of the distortion filter that is forgiven.

    Raises
    ------
    InvalidAudio
        If shapes differ or a reference is silent (its ratios are not defined).
    """
    true = np.asarray(references, dtype=np.float64)
    heard = np.asarray(estimates, dtype=np.float64)
    if true.ndim != 2 or true.shape != heard.shape:
        raise InvalidAudio(
            f"references and estimates must have one shape (sources, samples), got {true.shape} and {heard.shape}"
        )
    if not true.any(axis=1).all():
        raise InvalidAudio("a reference is silent; SDR is not defined against silence")
    n_sources, n_samples = true.shape
    n_fft = 1 << (n_samples + taps - 1 - 1).bit_length()
    true_f = np.fft.rfft(true, n_fft)
    heard_f = np.fft.rfft(heard, n_fft)
    gram = _gram(true_f, n_fft, taps)
    # <reference i delayed by k, estimate j>: (sources, sources, taps)
    cross = np.fft.irfft(true_f[:, None].conj() * heard_f[None], n_fft)[:, :, :taps]
    sdr, sir, sar = np.empty(n_sources), np.empty(n_sources), np.empty(n_sources)
    for j in range(n_sources):
        estimate = np.zeros(n_samples + taps - 1)
        estimate[:n_samples] = heard[j]
        own = slice(j * taps, (j + 1) * taps)
        target = _project(true_f[j : j + 1], gram[own, own], cross[j : j + 1, j], n_fft, taps, n_samples)
        everything = _project(true_f, gram, cross[:, j], n_fft, taps, n_samples)
        interference = everything - target
        artefacts = estimate - everything
        sdr[j] = _decibel(target, interference + artefacts)
        sir[j] = _decibel(target, interference)
        sar[j] = _decibel(everything, artefacts)
    return BSSEval(sdr, sir, sar)


def _gram(true_f: NDArray[np.complex128], n_fft: int, taps: int) -> NDArray[np.float64]:
    """Inner products of all references at all delays: (sources * taps, sources * taps), Toeplitz blocks."""
    n_sources = true_f.shape[0]
    gram = np.empty((n_sources * taps, n_sources * taps))
    for i in range(n_sources):
        for j in range(n_sources):
            correlation = np.fft.irfft(true_f[i].conj() * true_f[j], n_fft)
            # Entry (k, l) is <reference i delayed k, reference j delayed l> = correlation[k - l].
            column = correlation[:taps]
            row = np.concatenate([correlation[:1], correlation[:-taps:-1]])
            gram[i * taps : (i + 1) * taps, j * taps : (j + 1) * taps] = scipy.linalg.toeplitz(column, row)
    return gram


def _project(
    true_f: NDArray[np.complex128],
    gram: NDArray[np.float64],
    cross: NDArray[np.float64],
    n_fft: int,
    taps: int,
    n_samples: int,
) -> NDArray[np.float64]:
    """Least-squares projection of an estimate onto delayed references (eq. 20 to 23 of the paper)."""
    try:
        filters = np.linalg.solve(gram, cross.reshape(-1))
    except np.linalg.LinAlgError:
        filters = np.linalg.lstsq(gram, cross.reshape(-1), rcond=None)[0]
    filters_f = np.fft.rfft(filters.reshape(-1, taps), n_fft)
    projected: NDArray[np.float64] = np.fft.irfft((filters_f * true_f).sum(axis=0), n_fft)[: n_samples + taps - 1]
    return projected


def _decibel(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    power = float(noise @ noise)
    return float("inf") if power == 0.0 else 10.0 * float(np.log10((signal @ signal) / power))
