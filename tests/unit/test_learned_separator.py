"""The separator `learned`: every promise about the sound holds, whatever its network says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import parallel
from models.certainty import Certainty, Line
from models.errors import InvalidBases, Stopped, UnknownInstrument
from models.log_bands import N_BANDS
from models.masks import ratio_mask
from models.nmf import ShouldStop
from models.refiner import MULTIPLE, N_FEATURES, REFINED_ROWS, load_refiner, save_refiner
from models.separation import separate, separate_blocks
from models.separators import AdaptiveNMF, Learned, get_separator
from models.stft import N_FREQ
from tests.unit.refiners import BANK, PROVENANCE, wilful_refiner, wilful_separator
from tests.unit.signals import harmonic, noise

RATE = 44_100


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    return wilful_separator(tmp_path_factory.mktemp("weights"))


def tones(seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    """Two players whom the synthetic bank knows, and some noise: (1, samples)."""
    low, high = harmonic(110.0, seconds, rate), harmonic(1244.5, seconds, rate)
    return (low + high + 0.1 * noise(1, len(low)))[:1]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize(("channels", "seconds"), [(1, 0.02), (2, 1.3)])
def test_stems_are_as_long_as_the_mix_and_sum_to_it(learned: Learned, rate: int, channels: int, seconds: float) -> None:
    mix = noise(channels, round(seconds * rate) + 1)
    left, right = separate(mix, rate, learned, "accordion", "violin")
    assert left.shape == right.shape == mix.shape
    assert np.abs(left + right - mix).max() < 1e-6
    assert np.isfinite(left).all()


def test_the_network_is_heard_below_11_khz_and_guided_nmf_above(learned: Learned) -> None:
    V = np.abs(np.random.default_rng(0).standard_normal((N_FREQ, 30))).astype(np.float32)
    guided = AdaptiveNMF(BANK).mask(V, "cello", "flute")
    corrected = learned.mask(V, "cello", "flute")
    np.testing.assert_array_equal(corrected[REFINED_ROWS:], guided[REFINED_ROWS:])
    assert np.abs(corrected[:REFINED_ROWS] - guided[:REFINED_ROWS]).mean() > 0.02
    assert corrected.min() >= 0.0
    assert corrected.max() <= 1.0


def test_windows_have_one_size_and_pieces_do_not_matter(learned: Learned) -> None:
    shapes: list[tuple[int, ...]] = []
    hook = learned._network.register_forward_pre_hook(lambda _module, given: shapes.append(tuple(given[0].shape)))
    mix = tones(24.0)
    whole = separate(mix, RATE, learned, "accordion", "violin")
    hook.remove()
    frames = learned.block_frames + learned.overlap_frames
    assert frames % MULTIPLE == 0
    # Three windows, each looked at from both sides: memory does not grow with the recording.
    assert shapes == [(2, N_FEATURES, N_BANDS, frames)] * 3
    blocks = [mix[:, start : start + 50_000] for start in range(0, mix.shape[1], 50_000)]
    parts = separate_blocks(blocks, RATE, 1, learned, "accordion", "violin")
    for stem, all_of_it in zip(zip(*parts, strict=True), whole, strict=True):
        np.testing.assert_array_equal(np.concatenate(stem, axis=1), all_of_it)


class Mirrored(AdaptiveNMF):
    """Guided NMF that finds the same two magnitudes whoever is called left."""

    def model(
        self, V: NDArray[np.float32], left: str, right: str, should_stop: ShouldStop | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """In alphabetical order, always."""
        ordered = sorted((left, right))
        found = super().model(V, ordered[0], ordered[1], should_stop)
        return found if left < right else (found[1], found[0])


@pytest.mark.parametrize("frames", [1, 6, 41])
def test_the_other_way_round_is_the_mirror_image(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "learned.safetensors"
    save_refiner(path, wilful_refiner(), PROVENANCE)
    learned = Learned(Mirrored(BANK), *load_refiner(path))
    V = np.abs(np.random.default_rng(1).standard_normal((N_FREQ, frames))).astype(np.float32)
    one, other = learned.mask(V, "cello", "flute"), learned.mask(V, "flute", "cello")
    np.testing.assert_allclose(one, 1.0 - other, atol=2e-6)
    assert np.abs(one - ratio_mask(*Mirrored(BANK).model(V, "cello", "flute"))).max() > 0.02


@pytest.mark.parametrize("seconds", [0.3, 2.0, 12.0])
def test_equal_runs_give_equal_bytes_with_any_number_of_threads(
    learned: Learned, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = tones(seconds)
    threads = torch.get_num_threads()
    monkeypatch.setattr(parallel, "_threads", None)
    stems = []
    try:
        for number in (1, 2):
            # As a library, where torch says how many there are, and as a worker.
            torch.set_num_threads(number)
            stems.append(separate(mix, RATE, learned, "accordion", "violin")[0])
        for number in (1, 3):
            parallel.set_threads(number)
            stems.append(separate(mix, RATE, learned, "accordion", "violin")[0])
    finally:
        torch.set_num_threads(threads)
    for again in stems[1:]:
        np.testing.assert_array_equal(again, stems[0])


@pytest.mark.parametrize("level", [0.0, 1e-38, 1e-30, 1e-7, 1e4])
def test_silence_and_extreme_levels(learned: Learned, level: float) -> None:
    mix = tones(1.0) * np.float32(level)
    left, right = separate(mix, RATE, learned, "accordion", "violin")
    assert np.isfinite(left).all()
    assert np.abs(left + right - mix).max() <= 1e-6 * max(level, 1e-30)


@pytest.mark.parametrize("row", [0, 1_500])
def test_sound_that_the_network_cannot_see_does_no_harm(learned: Learned, row: int) -> None:
    V = np.zeros((N_FREQ, 12), np.float32)
    V[row] = 1.0
    share = learned.mask(V, "cello", "flute")
    assert np.isfinite(share).all()


def test_stopping_and_names(learned: Learned) -> None:
    with pytest.raises(Stopped):
        separate(tones(1.0), RATE, learned, "accordion", "violin", should_stop=lambda: True)
    with pytest.raises(UnknownInstrument, match="banjo"):
        separate(tones(1.0), RATE, learned, "accordion", "banjo")


def test_the_result_says_which_network_it_was(learned: Learned) -> None:
    guided = AdaptiveNMF(BANK)
    assert guided.parameters.items() <= learned.parameters.items()
    assert len(learned.parameters["network_sha256"]) == 64
    assert learned.provenance == guided.provenance | {"network": PROVENANCE}
    assert learned.sdr_line == Line(offset_db=2.0, slope=0.7)
    certainty = Certainty()
    separate(tones(1.0), RATE, learned, "accordion", "violin", certainty=certainty)
    likely = certainty.estimates_db(learned)
    assert likely == tuple(learned.sdr_line.at(ratio) for ratio in certainty.ratios_db())


@pytest.mark.parametrize("provenance", [{}, {"sdr_lines": {"nmf": {"offset_db": 0.0, "slope": 1.0}}}])
def test_a_network_of_unknown_certainty_is_refused(tmp_path: Path, provenance: dict[str, Any]) -> None:
    path = tmp_path / "learned.safetensors"
    save_refiner(path, wilful_refiner(), provenance)
    with pytest.raises(InvalidBases, match=r"learned\.safetensors does not say how SDR follows from its masks"):
        Learned(AdaptiveNMF(BANK), *load_refiner(path))


def test_the_shipped_network_is_one() -> None:
    shipped = get_separator("learned")
    network = shipped.provenance["network"]
    assert network["made_by"] == "duetto train separator"
    assert network["command"].startswith("duetto train separator ")
    assert {"sources", "curve", "inputs_sha256", "versions", "parameters"} <= network.keys()
    assert shipped.provenance["made_by"] == "duetto train"
