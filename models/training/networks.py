"""Training the MIML network (report section 2.2.2): batch 64, Adam at 0.005, NLL on log-softmax of D."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import Stopped
from models.miml import MIML

BATCH = 64
LEARNING_RATE = 0.005
EPOCHS = 250
_CHECKPOINT_EPOCHS = 5
_MEMORY = 0.995
"""Of the running average of the weights, a step: some 200 steps, 3 epochs of the shipped run."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of segments whose highest score D is that of their own class."""

    train: float
    held_out: float
    per_class: dict[int, tuple[float, float]]
    """Train and held-out share by label."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the segments."""

    number: int
    """From 1."""
    loss: float
    """Mean over the segments learnt from, each taken while it was learnt."""
    held_out: float
    """Share of the held-out segments classified right after the epoch."""


def train_miml(
    W: NDArray[np.float32],
    labels: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    history: list[Epoch] | None = None,
) -> MIML:
    """Train the network on the segments that are not held out.

    Departs from the report in the number of epochs, where the caller says so, and in that a running average of the
    weights is returned: at this learning rate the loss jumps now and then, and an epoch that happens to end there
    would decide (0.82 held out instead of 0.89). The last epoch's average, whatever it is: choosing an epoch by the
    held-out segments would spoil them as a measure.

    Parameters
    ----------
    W : np.ndarray [shape=(segments, freq, M), float32]
    labels : np.ndarray [shape=(segments,), int64]
    held_out : np.ndarray [shape=(segments,), bool]
    checkpoint : Path, optional
        Where the state is kept every five epochs; a run that finds one goes on from it.
    on_epoch : callable, optional
        Given the epoch (from 1) and its mean loss.
    history : list of Epoch, optional
        Every epoch is added to it, those of the run that left the checkpoint first. Watching the
        held-out segments changes nothing in what is learnt.

    Returns
    -------
    MIML, in evaluation mode

    Raises
    ------
    Stopped
        If `should_stop` returned true; the last checkpoint stays.
    """
    bases, target = torch.from_numpy(W), torch.from_numpy(labels)
    train = torch.from_numpy(np.flatnonzero(~held_out))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MIML(n_freq=W.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    past: list[Epoch] = [] if history is None else history
    average = _Average(network)
    first = _resume(checkpoint, network, average, optimizer, epochs, past)
    network.train()
    for epoch in range(first, epochs):
        # A generator of its own for every epoch, so that a resumed run draws what an unbroken one would.
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = train[torch.randperm(len(train), generator=generator)]
        total = 0.0
        for batch in torch.split(order, BATCH):
            if should_stop is not None and should_stop():
                raise Stopped("training was stopped; the same command goes on from its last checkpoint")
            _, D = network(bases[batch])
            loss = torch.nn.functional.nll_loss(torch.log_softmax(D, dim=1), target[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
            optimizer.step()
            average.follow(network)
            total += float(loss.detach()) * len(batch)
        if on_epoch is not None:
            on_epoch(epoch + 1, total / len(train))
        if history is not None:
            history.append(Epoch(epoch + 1, total / len(train), _share_right(average.network, bases, target, held_out)))
        if checkpoint is not None and ((epoch + 1) % _CHECKPOINT_EPOCHS == 0 or epoch + 1 == epochs):
            _keep(checkpoint, network, average, optimizer, epoch + 1, past)
    return average.network


class _Average:
    """A network whose weights and statistics are running averages of another's."""

    def __init__(self, network: MIML) -> None:
        self.network = copy.deepcopy(network).eval()
        self.steps = 0

    @torch.no_grad()
    def follow(self, network: MIML) -> None:
        """Take a step towards `network`: all the way at first, ever shorter until the memory is as long as wanted."""
        self.steps += 1
        memory = min(_MEMORY, (self.steps - 1) / (self.steps + 9))
        for mine, theirs in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1.0 - memory)
            else:
                mine.copy_(theirs)


def relate(network: MIML, W: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the class-basis relation X of every segment.

    Returns
    -------
    np.ndarray [shape=(segments, 8, M), float32]
    """
    with torch.inference_mode():
        parts = [network(part)[0] for part in torch.split(torch.from_numpy(W), BATCH)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def measure(X: NDArray[np.float32], labels: NDArray[np.int64], held_out: NDArray[np.bool_]) -> Accuracy:
    """Return the accuracy on the segments learnt from and on those held out, in all and by class."""
    # (segments, 8, M) -> D (segments, 8) -> (segments,)
    right = X.max(axis=2).argmax(axis=1) == labels

    def share(chosen: NDArray[np.bool_]) -> float:
        return float(right[chosen].mean()) if chosen.any() else 0.0

    return Accuracy(
        train=share(~held_out),
        held_out=share(held_out),
        per_class={
            int(label): (share(~held_out & (labels == label)), share(held_out & (labels == label)))
            for label in np.unique(labels)
        },
    )


def _share_right(network: MIML, bases: torch.Tensor, target: torch.Tensor, held_out: NDArray[np.bool_]) -> float:
    """Share of the held-out segments classified right, by the batch norms' running statistics as at inference."""
    chosen = torch.from_numpy(np.flatnonzero(held_out))
    right = 0
    with torch.inference_mode():
        for part in torch.split(chosen, BATCH):
            _, D = network(bases[part])
            right += int((D.argmax(dim=1) == target[part]).sum())
    return right / max(1, len(chosen))


def _keep(
    path: Path, network: MIML, average: _Average, optimizer: torch.optim.Adam, epoch: int, past: list[Epoch]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    state = {
        "epoch": epoch,
        "network": network.state_dict(),
        "average": average.network.state_dict(),
        "steps": average.steps,
        "optimizer": optimizer.state_dict(),
        "history": [astuple(one) for one in past],
    }
    torch.save(state, partial)
    partial.replace(path)


def _resume(
    path: Path | None,
    network: MIML,
    average: _Average,
    optimizer: torch.optim.Adam,
    epochs: int,
    past: list[Epoch],
) -> int:
    """Load a checkpoint into all of these; return how many epochs it has seen (0 if there is none that fits)."""
    if path is None or not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    # One of an earlier version, without an average, is no beginning.
    if state["epoch"] > epochs or "average" not in state:
        return 0
    network.load_state_dict(state["network"])
    average.network.load_state_dict(state["average"])
    average.steps = int(state["steps"])
    optimizer.load_state_dict(state["optimizer"])
    past.extend(Epoch(*one) for one in state.get("history", []))
    return int(state["epoch"])
