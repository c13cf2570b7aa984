"""The multi-instance multi-label network: which instrument does each basis of a segment belong to?

The instances are the M = 25 bases of one 5 s segment, the labels the eight instruments
(report section 2.2.2; Gao, Feris and Grauman 2018, section 3.3)::

    W (2049, M) ─ shared FC + BN + ReLU ─> (1024, M) ─ 1x1 conv + BN + ReLU ─> R (K, L, M)
        ─ max over K sub-concepts ─> X (L, M), the class-basis relation ─ max over M ─> D (L)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import tensors
from models.instruments import INSTRUMENTS
from models.stft import N_FREQ

FORMAT = "duetto-miml"
HIDDEN = 1024
K_SUBCONCEPTS = 4
L_CLASSES = len(INSTRUMENTS)


class MIML(nn.Module):
    """The report's network, with its sizes as defaults."""

    def __init__(
        self, n_freq: int = N_FREQ, hidden: int = HIDDEN, subconcepts: int = K_SUBCONCEPTS, classes: int = L_CLASSES
    ) -> None:
        super().__init__()
        self.n_freq, self.hidden, self.subconcepts, self.classes = n_freq, hidden, subconcepts, classes
        # No biases: the batch norms that follow would take them out again.
        self.shared = nn.Linear(n_freq, hidden, bias=False)
        self.shared_norm = nn.BatchNorm1d(hidden)
        self.concepts = nn.Conv1d(hidden, subconcepts * classes, kernel_size=1, bias=False)
        self.concepts_norm = nn.BatchNorm1d(subconcepts * classes)

    def forward(self, W: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the class-basis relation and the class scores.

        Parameters
        ----------
        W : torch.Tensor [shape=(batch, freq, M), float32, non-negative]
            Bases of unit Euclidean norm, as :func:`models.nmf.factorize` gives them. The order of M
            is the same in and out.

        Returns
        -------
        X : torch.Tensor [shape=(batch, 8, M)]
        D : torch.Tensor [shape=(batch, 8)]
            Scores before the softmax; the loss is NLL on their log-softmax.
        """
        batch, _, instances = W.shape
        # (batch, freq, M) -> (batch, M, freq) -> (batch, M, hidden) -> (batch, hidden, M)
        Y = torch.relu(self.shared_norm(self.shared(W.transpose(1, 2)).transpose(1, 2)))
        R = torch.relu(self.concepts_norm(self.concepts(Y)))
        # (batch, K * L, M) -> (batch, K, L, M)
        R = R.reshape(batch, self.subconcepts, self.classes, instances)
        X = R.amax(dim=1)
        D = X.amax(dim=2)
        return X, D


def save_miml(path: Path, network: MIML, provenance: dict[str, Any]) -> None:
    """Write weights and provenance to a safetensors file, whole or not at all."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    tensors.save(path, state, FORMAT, provenance)


def load_miml(path: Path) -> tuple[MIML, dict[str, Any]]:
    """Read a network, ready for inference, and its provenance.

    Raises
    ------
    InvalidBases
        If the file is damaged, of another format or of another geometry.
    """
    stored = tensors.load(path, FORMAT)
    shared = stored.tensors.get("shared.weight")
    concepts = stored.tensors.get("concepts.weight")
    if shared is None or concepts is None or concepts.shape[0] != K_SUBCONCEPTS * L_CLASSES:
        raise stored.mismatch(f"the layers of a network with {K_SUBCONCEPTS} x {L_CLASSES} outputs")
    network = MIML(n_freq=shared.shape[1], hidden=shared.shape[0])
    try:
        network.load_state_dict(stored.tensors)
    except RuntimeError as error:
        raise stored.mismatch("the layers of the MIML network") from error
    return network.eval(), stored.provenance
