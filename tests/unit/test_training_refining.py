"""Training of the network that corrects guided NMF: its loss is SDR's, and a run that was stopped ends as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import TrainingDataError
from models.stft import istft, stft
from models.training import refining
from models.training.clips import Clips
from models.training.refining import BATCH, Point, gain_db, train_refiner
from tests.unit.made_clips import random_clips
from tests.unit.signals import noise

CLIPS, HELD_OUT = random_clips(30), random_clips(5, seed=1)


def train(checkpoint: Path, steps: int = 6, **more: object) -> tuple[dict[str, torch.Tensor], list[Point]]:
    network, curve = train_refiner(CLIPS, HELD_OUT, steps=steps, seed=3, checkpoint=checkpoint, points=3, **more)  # type: ignore[arg-type]
    return network.state_dict(), curve


class Interrupted(Exception):  # noqa: N818 - named for what happened
    """As by Ctrl-C."""


def stop_at(step: int) -> object:
    def stop(point: Point, _seconds: float) -> None:
        if point.step == step:
            raise Interrupted

    return stop


def test_the_loss_is_the_error_that_is_heard() -> None:
    seconds = np.arange(60_000) / 44_100
    left = (0.3 * np.sin(2 * np.pi * 440.0 * seconds) * (1 + np.sin(3 * seconds)))[None] + 0.2 * noise(1, 60_000)
    right = noise(1, 60_000, seed=1)
    S, X = stft(left.astype(np.float32)), stft((left + right).astype(np.float32))
    # Smooth over frequency and the same in all frames, so a short filter: nothing is lost between the windows.
    rows = np.linspace(0.0, 1.0, X.shape[1], dtype=np.float32)[:, None]
    share = np.broadcast_to(0.5 + 0.4 * np.cos(6 * np.pi * rows), X.shape[1:])
    V, ideal = np.abs(X[0]), ((S * X.conj()).real / np.square(np.abs(X)))[0]
    said = float(refining._error_db(*(torch.from_numpy(np.array(part[None])) for part in (share, V, ideal))))
    # What the loss adds to the error: a floor, and what the phase of the mix costs in any case, as it assumes.
    power = np.square(V)
    quieter = min((power * np.square(player)).sum() for player in (ideal, 1.0 - ideal))
    error = 10 ** (said / 10) - 1e-3 - 0.01 * quieter / power.sum()
    # What it leaves out: what no real mask can undo, here as it is.
    phase = np.square(np.abs(S - ideal * X)).sum() / power.sum()
    heard = istft(X * share, 44_100, 60_000) - left
    in_time = np.square(heard).sum() / np.square(left + right).sum()
    assert 10 * np.log10(error + phase) == pytest.approx(10 * np.log10(in_time), abs=0.05)
    assert phase < error


def test_a_quiet_player_counts_as_much_as_a_loud_one() -> None:
    V, share = torch.rand(1, 50, 9), torch.rand(1, 50, 9)
    ideal = torch.rand(1, 50, 9)
    loss = refining._error_db(share, V, ideal)
    torch.testing.assert_close(refining._error_db(share, 30.0 * V, ideal), loss)
    torch.testing.assert_close(refining._error_db(1.0 - share, V, 1.0 - ideal), loss)


def test_the_network_learns_and_the_curve_says_so(tmp_path: Path) -> None:
    _, curve = train(tmp_path / "c.pt", steps=24)
    assert [point.step for point in curve] == [8, 16, 24]
    assert curve[-1].trained_db > curve[0].trained_db
    assert curve[-1].trained_db > 0.1


def test_the_points_are_those_of_the_network_that_is_kept(tmp_path: Path) -> None:
    network, curve = train_refiner(CLIPS, HELD_OUT, steps=4, seed=3, checkpoint=tmp_path / "c.pt", points=1)
    assert curve[-1].held_out_db == pytest.approx(gain_db(network, HELD_OUT, torch.device("cpu")))
    assert not network.training


@pytest.mark.parametrize("stops", [[2], [4, 6], [6]])
def test_a_run_that_was_stopped_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: list[int]
) -> None:
    monkeypatch.setattr(refining, "_CHECKPOINT_EVERY", 3)
    unbroken, curve = train(tmp_path / "unbroken.pt", steps=7)
    for step in stops:
        with pytest.raises(Interrupted):
            train(tmp_path / "stopped.pt", steps=7, on_point=stop_at(step))
    resumed, again = train(tmp_path / "stopped.pt", steps=7)
    assert again == curve
    assert resumed.keys() == unbroken.keys()
    for name, tensor in unbroken.items():
        assert torch.equal(tensor, resumed[name]), name
    assert {path.name for path in tmp_path.iterdir()} == {"unbroken.pt", "stopped.pt"}


def test_a_finished_run_is_only_read_again(tmp_path: Path) -> None:
    first, curve = train(tmp_path / "c.pt")
    told: list[Point] = []
    again, same = train(tmp_path / "c.pt", on_point=lambda point, _: told.append(point))
    assert told == []
    assert same == curve
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


def test_every_clip_is_seen_once_an_epoch_and_from_both_sides(tmp_path: Path) -> None:
    labels = np.stack([np.arange(24) % 8, (np.arange(24) + 1) % 8], axis=1)
    clips = Clips(random_clips(24).chunks, labels)
    orders = []
    for step in range(4):
        x, names, V, guided, ideal = refining._batch(clips, step, 9, torch.device("cpu"))
        assert x.shape[0] == BATCH
        for row in range(BATCH):
            (number,) = [n for n in range(24) if torch.equal(clips.batch(np.array([n]))[1][0], V[row])]
            swapped = names[row].tolist() != labels[number].tolist()
            orders.append((step // 2, number, swapped))
            one, _, share, truth = (part[0] for part in clips.batch(np.array([number])))
            assert torch.equal(x[row], one[[0, 2, 1, 4, 3]] if swapped else one)
            assert torch.equal(guided[row], 1.0 - share if swapped else share)
            assert torch.equal(ideal[row], 1.0 - truth if swapped else truth)
    for epoch in (0, 1):
        assert sorted(number for when, number, _ in orders if when == epoch) == list(range(24))
    assert {swapped for _, _, swapped in orders} == {False, True}
    assert [number for when, number, _ in orders if when == 0] != [number for when, number, _ in orders if when == 1]


@pytest.mark.parametrize("kind", ["text", "empty", "other tensors"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "separator-1.pt"
    if kind == "other tensors":
        torch.save({"step": 1}, path)
    else:
        path.write_bytes(b"" if kind == "empty" else b"no checkpoint at all")
    with pytest.raises(TrainingDataError, match=r"the checkpoint separator-1\.pt is damaged .*: remove it"):
        train(path)


def test_too_few_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="at least 12 clips"):
        train_refiner(random_clips(BATCH - 1), HELD_OUT, steps=1, seed=0, checkpoint=tmp_path / "c.pt")
    assert list(tmp_path.iterdir()) == []
