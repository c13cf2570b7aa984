"""Networks that correct guided NMF, as no training would leave them: what they change is not nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.refiner import Refiner, load_refiner, save_refiner
from models.separators import AdaptiveNMF, Learned
from tests.unit.signals import synthetic_bank

BANK = synthetic_bank()
PROVENANCE: dict[str, Any] = {
    "made_by": "tests",
    "sdr_lines": {"nmf": {"offset_db": 1.0, "slope": 0.5}, "learned": {"offset_db": 2.0, "slope": 0.7}},
}


def wilful_refiner(seed: int = 0) -> Refiner:
    """A network that moves masks to and fro, differently for every pair of players."""
    torch.manual_seed(seed)
    network = Refiner()
    with torch.no_grad():
        network.out.weight.normal_(0.0, 0.5)
        for name, weight in network.named_parameters():
            if "film" in name:
                weight.normal_(0.0, 0.3)
    return network.eval()


def wilful_separator(folder: Path) -> Learned:
    """The separator `learned` with such a network, out of a file."""
    path = folder / "learned.safetensors"
    save_refiner(path, wilful_refiner(), PROVENANCE)
    return Learned(AdaptiveNMF(BANK), *load_refiner(path))
