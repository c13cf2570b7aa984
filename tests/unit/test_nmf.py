"""NMF: the updates lower their divergence, find what was put in, and agree with scikit-learn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.decomposition import non_negative_factorization

from models.errors import InvalidAudio, Stopped
from models.nmf import activations, beta_divergence, factorize

BETAS = (2.0, 1.0, 1.5, 0.5, 0.0, 3.0)


def made(freq: int = 60, bases: int = 6, frames: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    W = rng.gamma(0.3, size=(freq, bases)).astype(np.float32) + 1e-3
    H = rng.gamma(0.5, size=(bases, frames)).astype(np.float32) + 1e-3
    return W @ H, W, H


@pytest.mark.parametrize("beta", BETAS)
def test_guided_updates_never_raise_the_divergence(beta: float) -> None:
    V, W, _ = made()
    V = V + np.random.default_rng(1).random(V.shape, dtype=np.float32)
    reached = [
        beta_divergence(torch.from_numpy(V), torch.from_numpy(W @ activations(V, W, beta=beta, iterations=n)), beta)
        for n in (1, 2, 5, 20, 80)
    ]
    assert all(later <= earlier * (1 + 1e-4) for earlier, later in pairwise(reached))
    assert reached[-1] < 0.9 * reached[0]


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_guided_finds_the_activations_that_were_put_in(beta: float) -> None:
    V, W, H = made()
    np.testing.assert_allclose(W @ activations(V, W, beta=beta, iterations=3_000), V, rtol=0.02, atol=0.02 * V.max())
    np.testing.assert_allclose(activations(V, W, beta=beta, iterations=3_000), H, atol=0.05 * H.max())


def test_guided_ends_near_scikit_learns_optimum() -> None:
    V, W, _ = made(freq=200, bases=30, frames=50)
    V = V + 0.1 * np.random.default_rng(2).random(V.shape, dtype=np.float32)
    ours = np.linalg.norm(V - W @ activations(V, W, iterations=5_000))
    H, _, _ = non_negative_factorization(
        V.T,
        W=None,
        H=np.ascontiguousarray(W.T),
        n_components=30,
        init="custom",
        update_H=False,
        max_iter=2_000,
        tol=1e-6,
    )
    assert ours <= 1.01 * np.linalg.norm(V - W @ H.T)


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6])
def test_guided_does_not_depend_on_the_level(level: float) -> None:
    V, W, _ = made()
    loud = activations(V * np.float32(level), W, iterations=1_000) / level
    np.testing.assert_allclose(loud, activations(V, W, iterations=1_000), rtol=2e-3, atol=1e-4)


def test_guided_of_silence_is_silence() -> None:
    _, W, _ = made()
    H = activations(np.zeros((60, 9), np.float32), W)
    assert H.shape == (6, 9)
    assert not H.any()


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_free_factors_rebuild_the_matrix(beta: float) -> None:
    V, _, _ = made()
    found = factorize(V, 8, beta=beta, iterations=500)
    assert found.W.shape == (60, 8)
    assert found.H.shape == (8, 40)
    assert found.divergence < 0.01
    np.testing.assert_allclose(np.linalg.norm(found.W, axis=0), 1.0, rtol=1e-4)
    assert (found.W >= 0).all()
    assert (found.H >= 0).all()


def test_equal_seeds_give_equal_factors() -> None:
    V, _, _ = made()
    first, again, other = factorize(V, 5, seed=3), factorize(V, 5, seed=3), factorize(V, 5, seed=4)
    np.testing.assert_array_equal(first.W, again.W)
    np.testing.assert_array_equal(first.H, again.H)
    assert not np.array_equal(first.W, other.W)


def test_free_factors_of_silence_are_finite() -> None:
    found = factorize(np.zeros((50, 20), np.float32), 5)
    assert np.isfinite(found.W).all()
    assert np.isfinite(found.H).all()


def test_stopping() -> None:
    V, W, _ = made()
    with pytest.raises(Stopped):
        activations(V, W, should_stop=lambda: True)
    with pytest.raises(Stopped):
        factorize(V, should_stop=lambda: True)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_bad_magnitudes_are_refused(value: float) -> None:
    V, W, _ = made()
    V[3, 4] = value
    with pytest.raises(InvalidAudio, match="finite and not negative"):
        activations(V, W)
    with pytest.raises(InvalidAudio, match="finite and not negative"):
        factorize(V)


def test_frequency_axes_must_agree() -> None:
    V, W, _ = made()
    with pytest.raises(InvalidAudio, match="60 frequency rows and W has 50"):
        activations(V, W[:50])
