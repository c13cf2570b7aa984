"""How good a stem is: ratios in dB of a stem's true part to its error.

- BSS Eval version 3 (Vincent, Gribonval and Févotte, *Performance measurement in blind audio source
  separation*, IEEE TASLP 2006): a distortion filter of 512 taps is forgiven, and the error is split into
  interference (what other sources explain) and artefacts (what none explains). Same numbers as
  `mir_eval.separation.bss_eval_sources`, with or without its permutation.
- SDR alone, many times faster, same numbers.
- SI-SDR (Le Roux, Wisdom, Erdogan and Hershey, *SDR - half-baked or well done?*, ICASSP 2019): only a gain
  is forgiven. No mean is removed.

Conventions: references and estimates are (sources, samples); row i of both belongs together unless a
permutation is asked for. A source may be silent for a while. One that is silent from beginning to end
has no ratios and is refused, as a reference and as an estimate, as mir_eval does.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import scipy.fft
import scipy.linalg
from numpy.typing import NDArray

from models.errors import InvalidAudio

FILTER_TAPS = 512
# Correlations at a few hundred lags need no transform as long as the recording: pieces that fit the cache.
_PIECE_FFT = 8192  # samples
_PIECES_AT_ONCE = 32
# A correction smaller than this share of the filter is rounding.
_REFINED = 1e-14
_REFINEMENTS = 3

Signals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BSSEval:
    """Ratios in dB, one a reference: signal to distortion, to interference, to artefacts.

    Attributes
    ----------
    sdr, sir, sar : np.ndarray [shape=(sources,), float64, dB]
        Infinite where there is no error of that kind.
    permutation : np.ndarray [shape=(sources,), int64]
        Which estimate was measured against each reference; 0, 1, ... unless permuted.
    """

    sdr: NDArray[np.float64]
    sir: NDArray[np.float64]
    sar: NDArray[np.float64]
    permutation: NDArray[np.int64]


def bss_eval(
    references: NDArray[np.floating],
    estimates: NDArray[np.floating],
    taps: int = FILTER_TAPS,
    *,
    permute: bool = False,
) -> BSSEval:
    """Measure estimated stems against the true ones.

    Parameters
    ----------
    references, estimates : np.ndarray [shape=(sources, samples), float, full scale 1.0]
    taps : int [samples]
        Length of the distortion filter that is forgiven.
    permute : bool
        Whether each estimate may belong to any reference: the assignment with the highest mean SIR is
        taken. Otherwise estimate i is measured against reference i.

    Raises
    ------
    InvalidAudio
        If shapes differ, a sample is not finite, a reference or an estimate is silent, or there are
        fewer than (sources - 1) * taps + 1 samples: then delayed references explain anything.
    """
    true, heard = _checked(references, estimates)
    n_sources, n_samples = true.shape
    least = (n_sources - 1) * taps + 1
    if n_samples < least:
        raise InvalidAudio(
            f"{n_samples} samples are too few to tell interference from artefacts; "
            f"{n_sources} sources and {taps} taps need {least} at least"
        )
    pairs = _Decomposition(true, heard, taps)
    # Row: estimate; column: reference.
    criteria = np.full((3, n_sources, n_sources), np.nan)
    for estimate in range(n_sources):
        for reference in range(n_sources) if permute else (estimate,):
            criteria[:, estimate, reference] = pairs.ratios(estimate, reference)
    sources = np.arange(n_sources)
    orders = list(permutations(range(n_sources))) if permute else [tuple(range(n_sources))]
    order = max(orders, key=lambda order: float(criteria[1, order, sources].mean()))
    sdr, sir, sar = criteria[:, order, sources]
    return BSSEval(sdr, sir, sar, np.asarray(order, dtype=np.int64))


def sdr(
    references: NDArray[np.floating], estimates: NDArray[np.floating], taps: int = FILTER_TAPS
) -> NDArray[np.float64]:
    """Measure SDR alone, estimate i against reference i: `bss_eval(...).sdr` without its cost.

    The projection P of an estimate onto the delayed references needs no signal of its own: with c the
    correlations of estimate and delayed references, and G those of the references, the filter x solves
    G x = c, a Toeplitz system, and |P|² = c' x.

    Parameters
    ----------
    references, estimates : np.ndarray [shape=(sources, samples), float, full scale 1.0]
    taps : int [samples]

    Returns
    -------
    np.ndarray [shape=(sources,), float64, dB]

    Raises
    ------
    InvalidAudio
        If shapes differ, a sample is not finite, or a reference or an estimate is silent.
    """
    true, heard = _checked(references, estimates)
    return np.array([_sdr(*pair, taps) for pair in zip(true, heard, strict=True)])


def si_sdr(references: NDArray[np.floating], estimates: NDArray[np.floating]) -> NDArray[np.float64]:
    """Measure the scale-invariant SDR, estimate i against reference i (Le Roux et al. 2019, eq. 3).

    Parameters
    ----------
    references, estimates : np.ndarray [shape=(sources, samples), float, full scale 1.0]

    Returns
    -------
    np.ndarray [shape=(sources,), float64, dB]

    Raises
    ------
    InvalidAudio
        If shapes differ, a sample is not finite, or a reference or an estimate is silent.
    """
    true, heard = _checked(references, estimates)
    gains = (heard * true).sum(axis=1) / np.square(true).sum(axis=1)
    # (sources,) -> (sources, 1)
    targets = gains[:, None] * true
    return np.array([_decibel(target, error) for target, error in zip(targets, heard - targets, strict=True)])


def is_silent(signals: NDArray[np.floating]) -> bool:
    """Whether any of (sources, samples) is zero from beginning to end, and so cannot be measured."""
    return not signals.any(axis=1).all()


def _checked(references: NDArray[np.floating], estimates: NDArray[np.floating]) -> tuple[Signals, Signals]:
    true = np.asarray(references, dtype=np.float64)
    heard = np.asarray(estimates, dtype=np.float64)
    if true.ndim != 2 or true.shape != heard.shape or 0 in true.shape:
        raise InvalidAudio(
            f"references and estimates must have one shape (sources, samples), got {true.shape} and {heard.shape}"
        )
    if not (np.isfinite(true).all() and np.isfinite(heard).all()):
        raise InvalidAudio("references or estimates hold samples that are not finite (NaN or infinity)")
    if is_silent(true):
        raise InvalidAudio("a reference is silent; SDR is not defined against silence")
    if is_silent(heard):
        raise InvalidAudio("an estimate is silent; its SDR is not defined")
    return true, heard


class _Decomposition:
    """Estimates split into target, interference and artefacts (eq. 16 to 23 of the paper)."""

    def __init__(self, true: Signals, heard: Signals, taps: int) -> None:
        n_sources, n_samples = true.shape
        self._taps = taps
        self._length = n_samples + taps - 1
        self._n_fft = scipy.fft.next_fast_len(self._length, real=True)
        self._true_f = scipy.fft.rfft(true, self._n_fft)
        self._heard = np.zeros((n_sources, self._length))
        self._heard[:, :n_samples] = heard
        heard_f = scipy.fft.rfft(heard, self._n_fft)
        self._gram = self._inner_products()
        # <reference i delayed by k, estimate j>: (references, taps, estimates)
        correlations = scipy.fft.irfft(self._true_f[:, None].conj() * heard_f[None], self._n_fft)
        self._cross = correlations[:, :, :taps].transpose(0, 2, 1)
        # (references * taps, estimates) -> (references, taps, estimates)
        filters = _solve(self._gram, self._cross.reshape(-1, n_sources)).reshape(self._cross.shape)
        self._everything = [self._filtered(slice(None), filters[:, :, j]) for j in range(n_sources)]

    def ratios(self, estimate: int, reference: int) -> tuple[float, float, float]:
        """SDR, SIR and SAR of one estimate taken for one reference, in dB."""
        everything = self._everything[estimate]
        target = everything
        if len(self._heard) > 1:
            rows = slice(reference * self._taps, (reference + 1) * self._taps)
            filters = _solve(self._gram[rows, rows], self._cross[reference, :, estimate])
            target = self._filtered(slice(reference, reference + 1), filters[None])
        artefacts = self._heard[estimate] - everything
        interference = everything - target
        return (
            _decibel(target, interference + artefacts),
            _decibel(target, interference),
            _decibel(everything, artefacts),
        )

    def _inner_products(self) -> Signals:
        """Of all references at all delays: (sources * taps, sources * taps), Toeplitz blocks."""
        n_sources, taps = len(self._true_f), self._taps
        gram = np.empty((n_sources, taps, n_sources, taps))
        for i in range(n_sources):
            for j in range(i + 1):
                correlation = scipy.fft.irfft(self._true_f[i].conj() * self._true_f[j], self._n_fft)
                # Entry (k, l) is <reference i delayed k, reference j delayed l> = correlation[k - l].
                row = np.concatenate([correlation[:1], correlation[:-taps:-1]])
                gram[i, :, j] = scipy.linalg.toeplitz(correlation[:taps], row)
                gram[j, :, i] = gram[i, :, j].T
        return gram.reshape(n_sources * taps, n_sources * taps)

    def _filtered(self, references: slice, filters: Signals) -> Signals:
        """The sum of references (some of them), each through its filter (references, taps)."""
        filters_f = scipy.fft.rfft(filters, self._n_fft)
        mixed: Signals = scipy.fft.irfft((filters_f * self._true_f[references]).sum(axis=0), self._n_fft)
        return mixed[: self._length]


def _solve(gram: Signals, cross: Signals) -> Signals:
    """Least-squares filters; references that are multiples of each other leave a choice, the smallest is taken."""
    try:
        return np.asarray(np.linalg.solve(gram, cross), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(gram, cross, rcond=None)[0], dtype=np.float64)


def _sdr(true: Signals, heard: Signals, taps: int) -> float:
    gram, cross = _correlations(true, heard, taps)
    matrix = scipy.linalg.toeplitz(gram)
    try:
        factor = scipy.linalg.cho_factor(matrix, check_finite=False)
    except np.linalg.LinAlgError:
        # Sums of few sinusoids: the delayed references are dependent to the last bit.
        filters = np.linalg.lstsq(matrix, cross, rcond=None)[0]
    else:
        filters = scipy.linalg.cho_solve(factor, cross, check_finite=False)
        for _ in range(_REFINEMENTS):
            correction = scipy.linalg.cho_solve(factor, cross - matrix @ filters, check_finite=False)
            filters += correction
            if np.abs(correction).max() <= _REFINED * np.abs(filters).max():
                break
    # |P|² and |estimate - P|² for any filter, so that an error of the filter counts squared only.
    explained = float(filters @ (matrix @ filters))
    error = float(heard @ heard) - 2.0 * float(cross @ filters) + explained
    return float("inf") if error <= 0.0 else 10.0 * float(np.log10(explained / error))


def _correlations(true: Signals, heard: Signals, taps: int) -> tuple[Signals, Signals]:
    """<true, true delayed by k> and <true delayed by k, heard>, for k below `taps`, summed over pieces."""
    n_fft = max(_PIECE_FFT, 4 * scipy.fft.next_fast_len(taps, real=True))
    step = n_fft - taps
    n_pieces = -(-len(true) // step)
    padded = np.zeros((2, n_pieces * step + taps))
    padded[0, : len(true)] = true
    padded[1, : len(heard)] = heard
    # (2, pieces, n_fft), a view; a piece reaches `taps` samples into the next one
    reaching = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::step]
    spectrum = np.zeros((2, n_fft // 2 + 1), np.complex128)
    for first in range(0, n_pieces, _PIECES_AT_ONCE):
        long_f = scipy.fft.rfft(reaching[:, first : first + _PIECES_AT_ONCE])
        short_f = scipy.fft.rfft(reaching[0, first : first + _PIECES_AT_ONCE, :step], n_fft)
        spectrum += (short_f.conj() * long_f).sum(axis=1)
    auto, cross = scipy.fft.irfft(spectrum, n_fft)[:, :taps]
    return auto, cross


def _decibel(signal: Signals, noise: Signals) -> float:
    power = float(noise @ noise)
    with np.errstate(divide="ignore"):
        return float("inf") if power == 0.0 else 10.0 * float(np.log10((signal @ signal) / power))
