"""BSS Eval against mir_eval, the reference implementation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from models.errors import InvalidAudio
from models.metrics import bss_eval

with warnings.catch_warnings():
    # mir_eval announces that its separation module will move elsewhere.
    warnings.simplefilter("ignore")
    from mir_eval.separation import bss_eval_sources


@pytest.mark.parametrize("samples", [2_000, 4_096, 30_000])
@pytest.mark.parametrize("sources", [1, 2, 3])
def test_the_numbers_are_mir_evals(samples: int, sources: int) -> None:
    rng = np.random.default_rng(samples + sources)
    true = rng.standard_normal((sources, samples))
    heard = true + 0.3 * rng.standard_normal((sources, samples)) + 0.2 * np.roll(true, 1, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sdr, sir, sar, _ = bss_eval_sources(true, heard, compute_permutation=False)
    ours = bss_eval(true, heard)
    np.testing.assert_allclose(ours.sdr, sdr, atol=1e-6)
    np.testing.assert_allclose(ours.sar, sar, atol=1e-6)
    if sources > 1:  # with one source there is no interference to measure
        np.testing.assert_allclose(ours.sir, sir, atol=1e-6)


def test_a_filtered_copy_is_no_distortion() -> None:
    rng = np.random.default_rng(0)
    true = rng.standard_normal((2, 20_000))
    filtered = np.stack([np.convolve(source, [0.0, 0.5, 0.2])[:20_000] for source in true])
    assert bss_eval(true, filtered).sdr.min() > 40.0


def test_what_cannot_be_measured_is_said() -> None:
    true = np.ones((2, 1_000))
    with pytest.raises(InvalidAudio, match="one shape"):
        bss_eval(true, true[:, :900])
    true[1] = 0.0
    with pytest.raises(InvalidAudio, match="silent"):
        bss_eval(true, true)
