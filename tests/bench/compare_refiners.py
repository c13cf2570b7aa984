"""``python -m tests.bench.compare_refiners LEARNT HELD_OUT``: the table 'Three families' of docs/training.md.

LEARNT and HELD_OUT are the two folders CACHE/clips/* that `duetto train separator --held-out-origins ... --cache CACHE`
made. Every family sees the same clips in the same order, for as many seconds (or steps), one after the other.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.instruments import NAMES
from models.log_bands import N_BANDS
from models.refiner import N_FEATURES, Refiner, refined
from models.training import refining
from models.training.clips import CHUNK, Clips

Share = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From guided NMF's share and a network's output to the share that is measured."""
CPU = torch.device("cpu")
SEED = 0
_SILENCE = -1.0


class Unguided(Refiner):
    """The shipped U-Net, shown the mix alone: what guided NMF found is silence to it."""

    def forward(self, x: torch.Tensor, names: torch.Tensor) -> torch.Tensor:
        """As :class:`models.refiner.Refiner`."""
        return super().forward(torch.cat([x[:, :1], torch.full_like(x[:, 1:], _SILENCE)], dim=1), names)


class BandSplit(nn.Module):
    """Recurrent layers over time and over bands in turn, after Luo and Yu (2023, BSRNN), told who the players are."""

    def __init__(self, size: int = 48, layers: int = 2, bands: int = 32) -> None:
        super().__init__()
        self._bands, self._width = bands, N_BANDS // bands
        inputs = N_FEATURES * self._width
        self.names = nn.Embedding(len(NAMES), 16)
        self.who = nn.Linear(32, size)
        self.split = nn.Parameter(torch.randn(bands, inputs, size) / math.sqrt(inputs))
        self.join = nn.Parameter(torch.zeros(bands, size, 2 * self._width))
        self.over_time, self.over_bands = (
            nn.ModuleList([_Recurrent(size) for _ in range(layers)]) for _ in range(2)
        )  # fmt: skip

    def forward(self, x: torch.Tensor, names: torch.Tensor) -> torch.Tensor:
        """As :class:`models.refiner.Refiner`."""
        n, kinds, _, frames = x.shape
        # (n, kinds, N_BANDS, frames) -> (n, frames, bands, kinds * width)
        parts = (x - _SILENCE).reshape(n, kinds, self._bands, self._width, frames).permute(0, 4, 2, 1, 3).flatten(3)
        z = torch.einsum("ntbi,bis->ntbs", parts, self.split) + self.who(self.names(names).flatten(1))[:, None, None]
        for in_time, in_bands in zip(self.over_time, self.over_bands, strict=True):
            z = in_time(z.transpose(1, 2)).transpose(1, 2)
            z = in_bands(z)
        out = torch.einsum("ntbs,bso->ntbo", z, self.join).unflatten(3, (2, self._width))
        # (n, frames, bands, 2, width) -> (n, 2, N_BANDS, frames)
        return out.permute(0, 3, 2, 4, 1).flatten(2, 3)


class _Recurrent(nn.Module):
    """Along the last axis but one, both ways; what it finds is added."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.layer = nn.GRU(size, size, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * size, size)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        heard, _ = self.layer(self.norm(z).flatten(0, 1))
        return z + self.out(heard).unflatten(0, z.shape[:2])


def from_nothing(guided: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """The share that a network's correction alone makes."""
    return refined(torch.full_like(guided, 0.5), out)


@dataclass(frozen=True)
class Family:
    """A network, and how its output becomes a share."""

    name: str
    make: Callable[[], nn.Module]
    share: Share


FAMILIES = (
    Family("U-Net that corrects guided NMF (shipped)", Refiner, refined),
    Family("the same without guided NMF", Unguided, from_nothing),
    Family("band-split recurrent network that corrects guided NMF", BandSplit, refined),
)


def read_clips(folder: Path) -> Clips:
    """Read the clips that :func:`models.training.clips.collect_clips` left in a folder."""
    labels = sorted(folder.glob("*.labels.npy"))
    chunks = [path.with_name(path.name.replace(".labels", "")) for path in labels]
    clips = Clips(tuple(np.load(path, mmap_mode="r") for path in chunks), np.concatenate([np.load(p) for p in labels]))
    if any(len(chunk) != CHUNK for chunk in clips.chunks[:-1]):
        raise SystemExit(f"{folder} holds clips of several runs; give a folder of one")
    return clips


def train(family: Family, clips: Clips, done: Callable[[int, float], float]) -> tuple[nn.Module, int, float]:
    """Train until `done`, given step and seconds, is 1; return the averaged network, its steps and its seconds."""
    torch.manual_seed(SEED)
    network = family.make()
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), refining.LEARNING_RATE, weight_decay=refining.WEIGHT_DECAY)
    began, step = time.monotonic(), 0
    while (part := done(step, time.monotonic() - began)) < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = (
                refining.LEARNING_RATE * min(1.0, (step + 1) / 50) * 0.5 * (1.02 + 0.98 * math.cos(math.pi * part))
            )
        network.train()
        x, names, V, guided, ideal = refining._batch(clips, step, SEED, CPU)
        with torch.autocast("cpu", torch.bfloat16):
            out = network(x, names)
        loss = refining._error_db(family.share(guided, out.float()), V, ideal).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        refining._follow(average, network, min(0.998, step / (step + 9)))
    return average.eval(), step, time.monotonic() - began


def gains(family: Family, network: nn.Module, clips: Clips) -> torch.Tensor:
    """By how many dB the error of guided NMF is lowered, clip by clip: (clips,)."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(clips), refining.BATCH):
            numbers = np.arange(start, min(start + refining.BATCH, len(clips)))
            x, names, V, guided, ideal = refining._moved(clips, numbers, CPU)
            share = family.share(guided, network(x, names))
            found.append(refining._error_db(guided, V, ideal) - refining._error_db(share, V, ideal))
    return torch.cat(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("learnt", type=Path)
    parser.add_argument("held_out", type=Path)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=float, default=420.0, help="for each family (default: %(default)s)")
    budget.add_argument("--steps", type=int, help="batches of 12 clips for each family, instead")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    clips, held_out = read_clips(args.learnt), read_clips(args.held_out)
    print(f"{len(clips)} clips to learn from, {len(held_out)} to measure on, {args.threads} threads\n")
    print("| family | parameters | steps | seconds | gain held out, dB | clips that gained |")
    print("|---|---|---|---|---|---|")
    for family in FAMILIES:
        network, steps, seconds = train(
            family, clips, lambda step, spent: step / args.steps if args.steps else spent / args.seconds
        )
        found = gains(family, network, held_out)
        size = sum(weight.numel() for weight in network.parameters())
        share = float((found > 0).float().mean())
        print(
            f"| {family.name} | {size:,} | {steps} | {seconds:.0f} | {float(found.mean()):+.2f} | {share:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
