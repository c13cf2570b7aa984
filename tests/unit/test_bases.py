"""Selection of bases by relevance, and the file they live in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bases import BasesBank, load_bases, save_bases, select_bases
from models.errors import InvalidBases, UnknownInstrument
from models.instruments import NAMES
from models.stft import N_FREQ
from models.tensors import save
from tests.unit.signals import synthetic_bank


def test_one_basis_a_segment_that_is_classified_right_best_first() -> None:
    rng = np.random.default_rng(0)
    W = rng.random((5, 20, 3), dtype=np.float32)
    X = np.zeros((5, 8, 3), np.float32)
    labels = np.array([2, 2, 2, 7, 7])
    X[0, 2] = [0.1, 0.5, 0.2]  # right, score 0.5, basis 1
    X[1, 2] = [0.9, 0.1, 0.2]  # right, score 0.9, basis 0
    X[2, 3] = [0.9, 0.1, 0.2]  # taken for a trumpet: dropped
    X[3, 7] = [0.1, 0.1, 0.3]  # right, basis 2
    X[4, 7] = [0.2, 0.1, 0.1]  # right, basis 0
    columns, scores = select_bases(W, X, labels)
    np.testing.assert_allclose(scores[2], [0.9, 0.5])
    np.testing.assert_array_equal(columns[2], np.stack([W[1, :, 0], W[0, :, 1]], axis=1))
    np.testing.assert_allclose(scores[7], [0.3, 0.2])
    np.testing.assert_array_equal(columns[7], np.stack([W[3, :, 2], W[4, :, 0]], axis=1))
    assert [column.shape[1] for column in columns] == [0, 0, 2, 0, 0, 0, 0, 2]


def test_only_the_best_are_kept() -> None:
    rng = np.random.default_rng(1)
    W, X = rng.random((50, 10, 4), dtype=np.float32), np.zeros((50, 8, 4), np.float32)
    X[:, 5, :] = rng.random((50, 4))
    columns, scores = select_bases(W, X, np.full(50, 5), keep=7)
    assert columns[5].shape == (10, 7)
    best = np.sort(X[:, 5, :].max(axis=1))[::-1][:7]
    np.testing.assert_allclose(scores[5], best)


def test_a_bank_survives_its_file(tmp_path: Path) -> None:
    bank = synthetic_bank()
    save_bases(tmp_path / "bases.safetensors", bank)
    again = load_bases(tmp_path / "bases.safetensors")
    for name in NAMES:
        np.testing.assert_allclose(again.of(name), bank.of(name), atol=5e-4)
    for stored, given in zip(again.scores, bank.scores, strict=True):
        np.testing.assert_array_equal(stored, given)
    assert again.provenance["made_by"] == "tests"
    assert len(again.sha256) == 64


def test_the_same_bank_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_bases(tmp_path / name, synthetic_bank())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    bank = BasesBank(synthetic_bank().columns, synthetic_bank().scores, provenance={"not json": object()})
    with pytest.raises(TypeError):
        save_bases(tmp_path / "bases.safetensors", bank)
    assert list(tmp_path.iterdir()) == []


def test_unknown_and_untrained_instruments() -> None:
    bank = synthetic_bank()
    with pytest.raises(UnknownInstrument, match="the eight are accordion"):
        bank.of("banjo")
    columns = list(bank.columns)
    columns[4], scores = np.zeros((N_FREQ, 0), np.float32), list(bank.scores)
    scores[4] = np.zeros(0, np.float32)
    with pytest.raises(InvalidBases, match="no bases for flute"):
        BasesBank(tuple(columns), tuple(scores)).of("flute")


def test_files_that_are_no_bank(tmp_path: Path) -> None:
    path = tmp_path / "bases.safetensors"
    save_bases(path, synthetic_bank())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidBases, match="damaged"):
        load_bases(path)
    save(path, {}, "duetto-bases", {"geometry": {"n_fft": 4800}})
    with pytest.raises(InvalidBases, match="was made for"):
        load_bases(path)
    save(path, {"cello": torch.zeros(1)}, "duetto-bases", load_provenance(tmp_path))
    with pytest.raises(InvalidBases, match="eight instruments"):
        load_bases(path)


def load_provenance(folder: Path) -> dict[str, object]:
    save_bases(folder / "whole", synthetic_bank())
    return dict(load_bases(folder / "whole").provenance)


def test_shapes_are_checked() -> None:
    bank = synthetic_bank()
    with pytest.raises(InvalidBases, match="8 instruments, got 7"):
        BasesBank(bank.columns[:7], bank.scores[:7])
    with pytest.raises(InvalidBases, match=r"accordion have shape \(9, 3\)"):
        BasesBank((np.zeros((9, 3), np.float32), *bank.columns[1:]), bank.scores)
    with pytest.raises(InvalidBases, match="12 bases and 3 scores"):
        BasesBank(bank.columns, (np.zeros(3, np.float32), *bank.scores[1:]))
