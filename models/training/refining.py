"""Training of the network that corrects guided NMF (:mod:`models.refiner`).

The loss is what SDR measures: the energy of the error that the mask leaves, relative to the mix, in dB, averaged over
clips, so that a quiet player's clip counts as much as a loud one's. For a real mask m on a mix X = S + R,

    |m X - S|^2 = |X|^2 (m - m_ideal)^2 + what no real mask can undo,

and since the stems sum to the mix, the error of both is the same.
"""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import TrainingDataError
from models.refiner import Refiner, refined, swap_players
from models.training.clips import Clips

BATCH = 12
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
_WARM_UP = 50  # steps
_LAST_RATE = 0.02  # of the learning rate, where its half cosine ends
_AVERAGE = 0.998  # of the running average of weights, which is what is kept
_CHECKPOINT_EVERY = 100  # steps
_PHASE_ERROR = 0.01  # share of the quieter player's energy that no mask can restore (20 dB)
_FLOOR = 1e-3  # of the mix's energy: a silent player has no SDR


@dataclass(frozen=True, slots=True)
class Point:
    """The curve: dB by which the error of guided NMF is lowered, on the batches since the last point, and held out."""

    step: int
    trained_db: float
    held_out_db: float


def train_refiner(
    clips: Clips,
    held_out: Clips,
    *,
    steps: int,
    seed: int,
    checkpoint: Path,
    points: int = 20,
    device: torch.device | None = None,
    start: Refiner | None = None,
    on_point: Callable[[Point, float], None] | None = None,
) -> tuple[Refiner, list[Point]]:
    """Train, or go on from `checkpoint`; the same arguments give the same network, interrupted or not.

    Parameters
    ----------
    steps : int
        Batches of 12 clips.
    points : int
        How often the held-out clips are measured.
    start : Refiner, optional
        A network to go on from, at half the learning rate; a new one, if none is given.
    on_point : callable, optional
        Given each new point and the seconds spent since this call began.

    Raises
    ------
    TrainingDataError
        If there are fewer clips than a batch, or the checkpoint is damaged.
    """
    if len(clips) < BATCH or len(held_out) < 1:
        raise TrainingDataError(f"a separator is learnt from at least {BATCH} clips and measured on one; make more")
    device = device or torch.device("cpu")
    torch.manual_seed(seed)
    network = (Refiner() if start is None else copy.deepcopy(start)).to(device)
    rate = learning_rate(start is not None)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    average = copy.deepcopy(network)
    state = _State(network, average, optimiser, checkpoint)
    first, curve, gains = state.restore()
    began = time.monotonic()
    every = max(1, steps // points)
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * _schedule(step, steps)
        network.train()
        x, names, V, guided, ideal = _batch(clips, step, seed, device)
        with torch.autocast(device.type, torch.bfloat16):
            out = network(x, names)
        share = refined(guided, out.float())
        loss = _error_db(share, V, ideal).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        _follow(average, network, min(_AVERAGE, (step + 1) / (step + 10)))
        with torch.no_grad():
            gains.append(float((_error_db(guided, V, ideal) - _error_db(share, V, ideal)).mean()))
        last = step + 1 == steps
        if (step + 1) % every == 0 or last:
            point = Point(step + 1, float(np.mean(gains)), gain_db(average, held_out, device))
            curve, gains = [*curve, point], []
            if on_point is not None:
                on_point(point, time.monotonic() - began)
        if (step + 1) % _CHECKPOINT_EVERY == 0 or last:
            state.keep(step + 1, curve, gains)
    return average.cpu().eval(), curve


def between(start: Refiner, end: Refiner, share: float) -> Refiner:
    """Return the network whose weights lie between those of `start` (`share` 1) and of `end` (0), trained from it.

    What lies halfway errs less on sounds unlike those that it learnt from (Wortsman et al. 2022, WiSE-FT, equation 3).
    """
    network = copy.deepcopy(end)
    _follow(network, start, 1.0 - share)
    return network.eval()


def learning_rate(goes_on: bool) -> float:
    """Return the highest learning rate, of a network that is new or that goes on."""
    return LEARNING_RATE / 2 if goes_on else LEARNING_RATE


def gain_db(network: Refiner, clips: Clips, device: torch.device) -> float:
    """Return by how many dB, averaged over clips, the network lowers guided NMF's error."""
    gains = []
    network.eval()
    with torch.no_grad():
        for start in range(0, len(clips), BATCH):
            x, names, V, guided, ideal = _moved(clips, np.arange(start, min(start + BATCH, len(clips))), device)
            with torch.autocast(device.type, torch.bfloat16):
                out = network(x, names)
            gains.append(_error_db(guided, V, ideal) - _error_db(refined(guided, out.float()), V, ideal))
    return float(torch.cat(gains).mean())


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _batch(clips: Clips, step: int, seed: int, device: torch.device) -> Batch:
    """The clips of one step, each once an epoch, players swapped at random."""
    per_epoch = len(clips) // BATCH
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(len(clips))
    x, names, V, guided, ideal = _moved(clips, order[place * BATCH : (place + 1) * BATCH], device)
    swapped = torch.from_numpy(np.random.default_rng((seed, epoch, place)).random(BATCH) < 0.5).to(device)
    x = torch.where(swapped[:, None, None, None], swap_players(x), x)
    names = torch.where(swapped[:, None], names.flip(1), names)
    guided = torch.where(swapped[:, None, None], 1.0 - guided, guided)
    ideal = torch.where(swapped[:, None, None], 1.0 - ideal, ideal)
    return x, names, V, guided, ideal


def _moved(clips: Clips, numbers: NDArray[np.int64], device: torch.device) -> Batch:
    x, V, guided, ideal = (part.to(device) for part in clips.batch(numbers))
    return x, torch.from_numpy(clips.labels[numbers]).to(device), V, guided, ideal


def _error_db(share: torch.Tensor, V: torch.Tensor, ideal: torch.Tensor) -> torch.Tensor:
    """Error of each clip, relative to its mix: (n, rows, frames) three times to (n,)."""
    power = V.square()
    mix = power.sum(dim=(1, 2))
    left, right = (power * ideal.square()).sum(dim=(1, 2)), (power * (1.0 - ideal).square()).sum(dim=(1, 2))
    error = (power * (share - ideal).square()).sum(dim=(1, 2))
    return 10.0 * torch.log10((error + _PHASE_ERROR * torch.minimum(left, right)) / mix + _FLOOR)


def _follow(average: Refiner, network: Refiner, memory: float) -> None:
    """Move the weights and statistics of `average` towards those of `network`, all the way if `memory` is 0."""
    with torch.no_grad():
        for mean, now in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1.0 - memory)
            else:
                mean.copy_(now)


def _schedule(step: int, steps: int) -> float:
    cosine = 0.5 * (1.0 + float(np.cos(np.pi * step / steps)))
    return min(1.0, (step + 1) / _WARM_UP) * (cosine * (1.0 - _LAST_RATE) + _LAST_RATE)


@dataclass(frozen=True)
class _State:
    """What a run that was stopped goes on from."""

    network: Refiner
    average: Refiner
    optimiser: torch.optim.Optimizer
    path: Path

    def keep(self, step: int, curve: list[Point], gains: list[float]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}")
        torch.save(
            {
                "step": step,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "curve": [asdict(point) for point in curve],
                "gains": gains,
            },
            partial,
        )
        partial.replace(self.path)

    def restore(self) -> tuple[int, list[Point], list[float]]:
        if not self.path.exists():
            return 0, [], []
        try:
            held = torch.load(self.path, weights_only=True)
            self.network.load_state_dict(held["network"])
            self.average.load_state_dict(held["average"])
            self.optimiser.load_state_dict(held["optimiser"])
            return int(held["step"]), [Point(**point) for point in held["curve"]], list(held["gains"])
        except (RuntimeError, KeyError, TypeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise TrainingDataError(
                f"the checkpoint {self.path.name} is damaged or of another version: remove it to begin anew"
            ) from error
