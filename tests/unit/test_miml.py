"""The MIML network: the report's shapes, an order of bases that is kept, and a file that says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.errors import InvalidBases
from models.miml import MIML, load_miml, save_miml
from models.tensors import save


def test_the_reports_layers() -> None:
    network = MIML()
    assert tuple(network.shared.weight.shape) == (1024, 2049)
    assert tuple(network.concepts.weight.shape) == (4 * 8, 1024, 1)
    X, D = network(torch.rand(3, 2049, 25))
    assert tuple(X.shape) == (3, 8, 25)
    assert tuple(D.shape) == (3, 8)
    torch.testing.assert_close(D, X.amax(dim=2))
    assert float(X.detach().min()) >= 0.0


def test_the_order_of_bases_is_the_same_in_and_out() -> None:
    network = MIML(n_freq=40, hidden=16).eval()
    W, order = torch.rand(2, 40, 25), torch.randperm(25)
    X, D = network(W)
    shuffled, same = network(W[:, :, order])
    torch.testing.assert_close(shuffled, X[:, :, order])
    torch.testing.assert_close(same, D)


def test_it_learns_to_tell_two_spectra_apart() -> None:
    torch.manual_seed(0)
    network = MIML(n_freq=30, hidden=16)
    labels = torch.arange(64) % 2
    W = 0.1 * torch.rand(64, 30, 5)
    W[labels == 0, 5, 2] += 1.0
    W[labels == 1, 20, 3] += 1.0
    optimizer = torch.optim.Adam(network.parameters(), lr=0.005)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.nll_loss(network(W)[1].log_softmax(dim=1), labels)
        loss.backward()
        optimizer.step()
    X, D = network.eval()(W)
    assert bool((D.argmax(dim=1) == labels).all())
    # The basis that tells the class is the one that was put there.
    assert X[0, 0].argmax() == 2
    assert X[1, 1].argmax() == 3


def test_a_network_survives_its_file(tmp_path: Path) -> None:
    network = MIML(n_freq=40, hidden=16).eval()
    W = torch.rand(2, 40, 25)
    save_miml(tmp_path / "miml.safetensors", network, {"command": "duetto train"})
    again, provenance = load_miml(tmp_path / "miml.safetensors")
    torch.testing.assert_close(again(W)[0], network(W)[0])
    assert provenance == {"command": "duetto train"}
    assert [path.name for path in tmp_path.iterdir()] == ["miml.safetensors"]


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "miml.safetensors"
    with pytest.raises(InvalidBases, match="no file miml"):
        load_miml(path)
    path.write_bytes(b"not a tensor file")
    with pytest.raises(InvalidBases, match="damaged"):
        load_miml(path)
    save(path, {"shared.weight": torch.zeros(3, 3)}, "duetto-bases", {})
    with pytest.raises(InvalidBases, match="is duetto-bases version 1, wanted is duetto-miml"):
        load_miml(path)
    save(path, {"shared.weight": torch.zeros(3, 3)}, "duetto-miml", {})
    with pytest.raises(InvalidBases, match=r"does not hold the layers"):
        load_miml(path)
    state = MIML(n_freq=40, hidden=16).state_dict()
    del state["shared_norm.running_mean"]
    save(path, state, "duetto-miml", {})
    with pytest.raises(InvalidBases, match=r"layers of the MIML network"):
        load_miml(path)
