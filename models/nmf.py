"""Non-negative matrix factorisation by multiplicative updates for the beta divergences.

V ~ W H with V (freq, frames), W (freq, bases), H (bases, frames), all non-negative float32.

beta = 2 is the squared Euclidean (Frobenius) distance, beta = 1 the Kullback-Leibler divergence,
beta = 0 Itakura-Saito. Updates and the exponent that keeps them monotone outside 1 <= beta <= 2:
Févotte and Idier, *Algorithms for nonnegative matrix factorization with the β-divergence*, Neural
Computation 2011, table 2. Lee and Seung 2001 for beta 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import InvalidAudio, Stopped

EPSILON = 1e-12  # relative to the largest entry of V: keeps divisions finite and is below float32's noise
M_COMPONENTS = 25  # bases a segment (report section 2.3.2)
FREE_ITERATIONS = 200
GUIDED_ITERATIONS = 50  # 0.2 to 0.6 % above the error of scikit-learn's solver at convergence
_EXTRAPOLATION = 0.85  # of the last step, on top of it; at 1 the error begins to swing
_EXTRAPOLATION_FALL, _EXTRAPOLATION_RISE = 0.5, 1.05  # after a step that went too far, and after one that did not
_ROUNDING = 1e-6  # share of a divergence that is no rise
_PLAIN_UPDATES = 2  # before extrapolation: the first steps from a constant start are too long to be extended
_EXTRAPOLATED_SHARE = 0.9  # of an activation that extrapolation leaves at least: from 0 none comes back
_STOP_EVERY = 10  # iterations between two looks at should_stop

ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Factorization:
    """W (freq, bases) with columns of unit Euclidean norm, H (bases, frames), and the divergence
    D(V | W H) that was reached, relative to that of the best constant: 0 is exact.
    """

    W: NDArray[np.float32]
    H: NDArray[np.float32]
    divergence: float


def factorize(
    V: NDArray[np.float32],
    n_components: int = M_COMPONENTS,
    *,
    beta: float = 2.0,
    iterations: int = FREE_ITERATIONS,
    seed: int = 0,
    should_stop: ShouldStop | None = None,
) -> Factorization:
    """Factorise a magnitude into bases and activations (report section 2.2.1).

    Parameters
    ----------
    V : np.ndarray [shape=(freq, frames), float32, non-negative]
    n_components : int
        The report's M.
    beta : float
    iterations : int
    seed : int
        Of the random start; equal seeds give equal factors.
    should_stop : callable, optional

    Raises
    ------
    InvalidAudio
        If V is not a finite non-negative matrix.
    Stopped
        If `should_stop` returned true.
    """
    target = _validated(V)
    n_freq, n_frames = target.shape
    generator = torch.Generator().manual_seed(seed)
    scale = float(target.mean()) or 1.0
    W = torch.rand((n_freq, n_components), generator=generator) + 0.1
    H = (torch.rand((n_components, n_frames), generator=generator) + 0.1) * (scale / n_components)
    # Of a silent matrix the factors are zero, and must not be 0 / 0.
    floor = max(EPSILON * (float(target.max()) if target.numel() else 0.0), torch.finfo(torch.float32).tiny)
    with flushed_denormals():
        for step in range(iterations):
            if step % _STOP_EVERY == 0:
                _check(should_stop)
            H = _update(target, W, H, beta, floor)
            # V' ~ H' W': the same update with the roles exchanged
            W = _update(target.T, H.T, W.T, beta, floor).T
    norm = W.norm(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
    W, H = W / norm, H * norm[:, None]
    error = beta_divergence(target, W @ H, beta)
    reference = beta_divergence(target, torch.full_like(target, scale), beta)
    return Factorization(
        W=np.ascontiguousarray(W.numpy()),
        H=np.ascontiguousarray(H.numpy()),
        divergence=error / reference if reference > 0 else 0.0,
    )


def activations(
    V: NDArray[np.float32],
    W: NDArray[np.float32],
    *,
    beta: float = 2.0,
    iterations: int = GUIDED_ITERATIONS,
    should_stop: ShouldStop | None = None,
) -> NDArray[np.float32]:
    """Guided NMF: the activations of given bases; W stays fixed (report section 2.2.3, V = W^q H^q).

    The start is constant, so the result depends on V and W alone. With W fixed every frame is a
    problem of its own, and a convex one for 1 <= beta <= 2.

    Parameters
    ----------
    V : np.ndarray [shape=(freq, frames), float32, non-negative]
    W : np.ndarray [shape=(freq, bases), float32, non-negative]

    Returns
    -------
    np.ndarray [shape=(bases, frames), float32, non-negative]

    Raises
    ------
    InvalidAudio
        If V or W is not a finite non-negative matrix, or their frequency axes differ.
    Stopped
        If `should_stop` returned true.
    """
    target, bases = _validated(V), _validated(W)
    if target.shape[0] != bases.shape[0]:
        raise InvalidAudio(f"V has {target.shape[0]} frequency rows and W has {bases.shape[0]}; they must be equal")
    n_bases = bases.shape[1]
    peak = float(target.max()) if target.numel() else 0.0
    if peak == 0.0:
        return np.zeros((n_bases, target.shape[1]), np.float32)
    # V is scaled to a peak of 1, so that neither floor nor float32's range depends on its level.
    target = target / peak
    H = torch.full((n_bases, target.shape[1]), 1.0 / n_bases)
    with flushed_denormals():
        if beta == 2.0:
            H = _frobenius_activations(target, bases, H, iterations, should_stop)
        else:
            for step in range(iterations):
                if step % _STOP_EVERY == 0:
                    _check(should_stop)
                H = _update(target, bases, H, beta, EPSILON)
    return np.ascontiguousarray((H * peak).numpy())


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Let multiplications that underflow give zero while the body runs.

    Updates drift into denormal numbers, which cost a hundred times a normal multiplication. The switch
    is the processor's, so it is set back for the sake of everyone else in the process.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def beta_divergence(V: torch.Tensor, estimate: torch.Tensor, beta: float) -> float:
    """D_beta(V | estimate), summed over all entries (Févotte and Idier 2011, eq. 2)."""
    x, y = V.double(), estimate.double().clamp_min(1e-30)
    if beta == 2.0:
        return float(0.5 * (x - y).square().sum())
    if beta == 1.0:
        return float((torch.xlogy(x, x / y) - x + y).sum())
    if beta == 0.0:
        ratio = x.clamp_min(1e-30) / y
        return float((ratio - ratio.log() - 1.0).sum())
    numerator = x.pow(beta) + (beta - 1.0) * y.pow(beta) - beta * x * y.pow(beta - 1.0)
    return float((numerator / (beta * (beta - 1.0))).sum())


def _frobenius_activations(
    V: torch.Tensor, W: torch.Tensor, H: torch.Tensor, iterations: int, should_stop: ShouldStop | None
) -> torch.Tensor:
    """H <- Y * W'V / (W'W Y), where W'V and W'W are needed only once, and Y is H extrapolated beyond its last
    step (Ang and Gillis, *Accelerating nonnegative matrix factorization algorithms using extrapolation*,
    Neural Computation 2019, with their restarts, frame by frame): as near in 30 updates as in 150 plain ones.
    """
    WtV = W.T @ V
    WtW = W.T @ W
    Y = H
    # One a frame: how far it is extrapolated, the least divergence so far (less a constant), whether it restarts.
    reach = torch.full((V.shape[1],), _EXTRAPOLATION)
    least = torch.full((V.shape[1],), torch.finfo(torch.float32).max / 2)
    restarts = torch.zeros(V.shape[1], dtype=torch.bool)
    for step in range(iterations):
        if step % _STOP_EVERY == 0:
            _check(should_stop)
        model = WtW @ Y
        divergence = (Y * (0.5 * model - WtV)).sum(dim=0)
        restarts = (divergence > least + _ROUNDING * least.abs()) & ~restarts
        least = torch.where(restarts, least, divergence)
        last, H = H, torch.where(restarts, H, Y * (WtV / model.clamp_min_(EPSILON)))
        reach = (reach * torch.where(restarts, _EXTRAPOLATION_FALL, _EXTRAPOLATION_RISE)).clamp_max_(_EXTRAPOLATION)
        # Where a frame restarts, H is the last one, and so Y is H.
        Y = H if step < _PLAIN_UPDATES else torch.maximum(H + reach * (H - last), _EXTRAPOLATED_SHARE * H)
    return H


def _update(V: torch.Tensor, W: torch.Tensor, H: torch.Tensor, beta: float, floor: float) -> torch.Tensor:
    """One multiplicative update of H (Févotte and Idier 2011, table 2)."""
    if beta == 2.0:
        return H * ((W.T @ V) / ((W.T @ W) @ H).clamp_min_(floor))
    estimate = (W @ H).clamp_min_(floor)
    if beta == 1.0:
        return H * ((W.T @ (V / estimate)) / W.sum(dim=0)[:, None].clamp_min(floor))
    ratio = (W.T @ (V * estimate.pow(beta - 2.0))) / (W.T @ estimate.pow(beta - 1.0)).clamp_min_(floor)
    if beta < 1.0:
        ratio = ratio.pow(1.0 / (2.0 - beta))
    elif beta > 2.0:
        ratio = ratio.pow(1.0 / (beta - 1.0))
    return H * ratio


def _validated(matrix: NDArray[np.float32]) -> torch.Tensor:
    array = np.ascontiguousarray(matrix, dtype=np.float32)
    if array.ndim != 2:
        raise InvalidAudio(f"a magnitude has two axes, (freq, frames); got shape {array.shape}")
    tensor = torch.from_numpy(array)
    if not bool(torch.isfinite(tensor).all()) or (tensor.numel() and float(tensor.min()) < 0.0):
        raise InvalidAudio("a magnitude must be finite and not negative")
    return tensor


def _check(should_stop: ShouldStop | None) -> None:
    if should_stop is not None and should_stop():
        raise Stopped("the factorisation was stopped")
