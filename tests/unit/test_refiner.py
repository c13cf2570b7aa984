"""The network that corrects guided NMF's mask: what it sees, what it may say, and the file that it is kept in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.errors import InvalidBases
from models.log_bands import BANDS_PER_OCTAVE, N_BANDS, to_bands
from models.refiner import (
    MULTIPLE,
    N_FEATURES,
    Refiner,
    features,
    load_refiner,
    refined,
    save_refiner,
    swap_players,
    with_kin,
)
from models.stft import N_FREQ
from models.tensors import save
from tests.unit.refiners import PROVENANCE, wilful_refiner

ROW_440 = 41  # 441 Hz


def window(frames: int = 8, seed: int = 0, rows: int = N_FREQ) -> tuple[torch.Tensor, ...]:
    """The magnitude of a mix, a share of it, and the two magnitudes that the share was made of."""
    rng = torch.Generator().manual_seed(seed)
    left, right = (torch.rand(rows, frames, generator=rng) for _ in range(2))
    return left + right, left / (left + right), left, right


def test_levels_are_counted_from_the_loudest_band() -> None:
    V = torch.zeros(N_FREQ, 3)
    V[ROW_440] = torch.tensor([1.0, 0.1, 0.0])
    share = torch.full_like(V, 0.25)
    heard = features(V, share, V * 0.25, V * 0.75)
    assert heard.shape == (N_FEATURES, N_BANDS, 3)
    loudest = heard[0].amax(dim=0)
    # 1 is the loudest, 40 dB are 1, silence is -1.
    torch.testing.assert_close(loudest, torch.tensor([1.0, 0.5, -1.0]), atol=2e-3, rtol=0.0)
    quarter = heard.amax(dim=1)[:, 0]
    wanted = 1.0 + 20.0 * torch.log10(torch.tensor([1.0, 0.25, 0.75, 0.25, 0.75])) / 40.0
    torch.testing.assert_close(quarter, wanted, atol=2e-3, rtol=0.0)
    assert float(heard.min()) == -1.0


@pytest.mark.parametrize("gain", [1e-20, 1e-3, 1e6])
def test_features_know_no_loudness(gain: float) -> None:
    V, share, left, right = window()
    quiet = features(V * gain, share, left * 3.0, right * 3.0)
    torch.testing.assert_close(quiet, features(V, share, left, right), atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("row", [0, 2_000])
def test_sound_beyond_all_bands_is_silence(row: int) -> None:
    V = torch.zeros(N_FREQ, 4)
    V[row] = 1.0
    heard = features(V, torch.full_like(V, 0.5), V, V)
    assert bool(torch.isfinite(heard).all())


def test_each_band_sees_its_octaves_and_twelfths() -> None:
    x = torch.full((1, 1, N_BANDS, 2), -1.0)
    x[0, 0, 100] = 0.5
    seen = with_kin(x)
    assert seen.shape == (1, 5, N_BANDS, 2)
    octave, twelfth = round(BANDS_PER_OCTAVE), round(1.585 * BANDS_PER_OCTAVE)
    peaks = {int(plane[:, 0].argmax()) for plane in seen[0]}
    assert peaks == {100, 100 - octave, 100 + octave, 100 - twelfth, 100 + twelfth}
    # Silence and what is beyond the ends are both 0: the peak is all there is.
    assert int((seen != 0.0).sum()) == 5 * 2
    torch.testing.assert_close(seen.max(), torch.tensor(1.5))


def test_an_untrained_network_leaves_the_mask_as_it_is() -> None:
    torch.manual_seed(1)
    V, share, left, right = window(frames=2 * MULTIPLE)
    heard = features(V, share, left, right)[None]
    with torch.inference_mode():
        out = Refiner().eval()(heard, torch.tensor([[0, 7]]))
    assert out.shape == (1, 2, N_BANDS, 2 * MULTIPLE)
    # But for certainty: no share counts as less than a thousandth.
    torch.testing.assert_close(refined(share[None], out)[0], share.clamp(1e-3, 1.0 - 1e-3), atol=1e-5, rtol=0.0)


def test_correction_moves_the_mask_and_trust_sharpens_or_flattens_it() -> None:
    share = torch.tensor([[[0.2], [0.5], [0.8]]])

    def moved(correction: float, trust: float) -> list[float]:
        out = torch.tensor([correction, trust])[None, :, None, None].expand(1, 2, N_BANDS, 1)
        return [float(value) for value in refined(share, out)[0, :, 0]]

    assert moved(0.0, 0.0) == pytest.approx([0.2, 0.5, 0.8])
    assert moved(4.0, 0.0)[0] > 0.9
    assert moved(-4.0, 0.0)[2] < 0.1
    assert moved(0.0, 1.0)[0] < 0.05
    assert moved(0.0, -2.0)[0] > 0.4
    # What the network may say is bounded: a certain mask can still be moved.
    assert moved(0.0, 99.0) == moved(0.0, 1.5)
    certain = refined(torch.zeros(1, 3, 1), torch.tensor([9.0, 0.0])[None, :, None, None].expand(1, 2, N_BANDS, 1))
    assert float(certain.min()) > 0.8


@pytest.mark.parametrize("frames", [MULTIPLE, 5 * MULTIPLE, 61 * MULTIPLE])
def test_any_number_of_frames(frames: int) -> None:
    network = wilful_refiner()
    with torch.inference_mode():
        out = network(torch.rand(1, N_FEATURES, N_BANDS, frames), torch.tensor([[2, 3]]))
    assert out.shape == (1, 2, N_BANDS, frames)
    assert bool(torch.isfinite(out).all())


def test_what_it_says_depends_on_who_plays_and_on_nothing_else_of_the_batch() -> None:
    network = wilful_refiner()
    x = torch.rand(2, N_FEATURES, N_BANDS, 2 * MULTIPLE, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        both = network(x, torch.tensor([[0, 1], [4, 2]]))
        alone = network(x[1:], torch.tensor([[4, 2]]))
        others = network(x[1:], torch.tensor([[2, 4]]))
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-5)
    assert float((alone - others).abs().max()) > 0.01


@pytest.mark.parametrize("rows", [187, 1024, N_FREQ])
def test_features_swap_with_the_players(rows: int) -> None:
    V, share, left, right = window(rows=rows)
    heard = features(V, share, left, right)
    assert heard.shape == (N_FEATURES, N_BANDS, 8)
    mirrored = features(V, 1.0 - share, right, left)
    torch.testing.assert_close(swap_players(heard[None])[0], mirrored, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(heard[0], features(V, share, left, right)[0])
    assert not torch.equal(to_bands(V * share), to_bands(V * (1.0 - share)))


def test_the_file_holds_half_precision_and_what_it_was_learnt_from(tmp_path: Path) -> None:
    network = wilful_refiner()
    path = tmp_path / "learned.safetensors"
    save_refiner(path, network, PROVENANCE)
    again, stored = load_refiner(path)
    assert stored.provenance == PROVENANCE
    assert len(stored.sha256) == 64
    assert {tensor.dtype for tensor in stored.tensors.values()} == {torch.float16, torch.int64}
    assert not again.training
    assert {tensor.dtype for tensor in again.parameters()} == {torch.float32}
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, atol=1e-3, rtol=1e-3)
    assert [file.name for file in tmp_path.iterdir()] == ["learned.safetensors"]


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "learned.safetensors"
    with pytest.raises(InvalidBases, match=r"no file learned\.safetensors; `duetto train` makes one"):
        load_refiner(path)
    path.write_bytes(b"not a tensor file")
    with pytest.raises(InvalidBases, match=r"learned\.safetensors is damaged"):
        load_refiner(path)
    save_refiner(path, wilful_refiner(), PROVENANCE)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InvalidBases, match=r"learned\.safetensors is damaged"):
        load_refiner(path)
    save(path, {"out.weight": torch.zeros(2, 16, 1, 1)}, "duetto-miml", {})
    with pytest.raises(InvalidBases, match="is duetto-miml version 1, wanted is duetto-refiner version 1"):
        load_refiner(path)
    save_refiner(path, Refiner(channels=(4, 4, 4, 4)), PROVENANCE)
    with pytest.raises(InvalidBases, match="does not hold the layers of the refining network"):
        load_refiner(path)
