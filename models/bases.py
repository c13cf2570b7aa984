"""The bank of bases: which spectra stand for each instrument.

Selection (report sections 2.2.2 and 3.2.2): every segment that the MIML network classifies right gives
the one basis with the highest relevance X in its class's row; of those, the 400 best scored are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models import tensors
from models.errors import InvalidBases
from models.instruments import INSTRUMENTS, NAMES, index_of
from models.stft import HOP, N_FFT, N_FREQ, SAMPLE_RATE

FORMAT = "duetto-bases"
BASES_PER_CLASS = 400
WEIGHTS = Path(__file__).parent / "weights"
_GEOMETRY = {"sample_rate": SAMPLE_RATE, "n_fft": N_FFT, "hop": HOP}


@dataclass(frozen=True)
class BasesBank:
    """Bases of all eight instruments.

    Attributes
    ----------
    columns : tuple of np.ndarray [shape=(freq, n_i), float32, unit Euclidean norm]
        One matrix an instrument, in the order of :mod:`models.instruments`, best first.
    scores : tuple of np.ndarray [shape=(n_i,), float32]
        Relevance of each basis, falling.
    provenance : dict
        What the bases were learnt from and how.
    sha256 : str
        Of the file that they were read from; empty for a bank that was never stored.
    """

    columns: tuple[NDArray[np.float32], ...]
    scores: tuple[NDArray[np.float32], ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        if len(self.columns) != len(INSTRUMENTS) or len(self.scores) != len(INSTRUMENTS):
            raise InvalidBases(f"a bank has bases for {len(INSTRUMENTS)} instruments, got {len(self.columns)}")
        for name, columns, scores in zip(NAMES, self.columns, self.scores, strict=True):
            if columns.ndim != 2 or columns.shape[0] != N_FREQ:
                raise InvalidBases(f"the bases of {name} have shape {columns.shape}, wanted is ({N_FREQ}, n)")
            if scores.shape != (columns.shape[1],):
                raise InvalidBases(f"{name} has {columns.shape[1]} bases and {scores.shape[0]} scores")

    @property
    def parameters(self) -> dict[str, Any]:
        """What a result depends on in this bank: how many bases each instrument has, and the file by hash."""
        return {
            "bases_per_instrument": [columns.shape[1] for columns in self.columns],
            "bases_sha256": self.sha256,
        }

    def of(self, name: str) -> NDArray[np.float32]:
        """Return the bases of one instrument, (freq, n) float32.

        Raises
        ------
        UnknownInstrument
            If `name` is none of the eight.
        InvalidBases
            If the bank has none for it.
        """
        columns = self.columns[index_of(name)]
        if columns.shape[1] == 0:
            raise InvalidBases(f"this bank has no bases for {name}; train with solos of it")
        return columns


def select_bases(
    W: NDArray[np.float32],
    X: NDArray[np.float32],
    labels: NDArray[np.int64],
    keep: int = BASES_PER_CLASS,
) -> tuple[tuple[NDArray[np.float32], ...], tuple[NDArray[np.float32], ...]]:
    """Pick bases by relevance, one a segment (report section 3.2.2).

    Parameters
    ----------
    W : np.ndarray [shape=(segments, freq, M), float32]
        Bases of each segment.
    X : np.ndarray [shape=(segments, 8, M), float32]
        Class-basis relation of the same bases in the same order.
    labels : np.ndarray [shape=(segments,), int64]
        The instrument that each segment really is.
    keep : int
        Most bases an instrument.

    Returns
    -------
    columns : tuple of np.ndarray [shape=(freq, n_i)]
    scores : tuple of np.ndarray [shape=(n_i,)], falling
    """
    D = X.max(axis=2)
    right = D.argmax(axis=1) == labels
    columns: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    for instrument in INSTRUMENTS:
        segments = np.flatnonzero(right & (labels == instrument.index))
        row = X[segments, instrument.index, :]
        best = row.argmax(axis=1)
        score = row[np.arange(len(segments)), best]
        order = np.argsort(-score, kind="stable")[:keep]
        columns.append(
            np.ascontiguousarray(W[segments[order], :, best[order]].T, dtype=np.float32).reshape(W.shape[1], -1)
        )
        scores.append(score[order].astype(np.float32))
    return tuple(columns), tuple(scores)


def save_bases(path: Path, bank: BasesBank) -> None:
    """Write a bank to a safetensors file, whole or not at all.

    Spectra are stored as float16 (relative error 5e-4, far below what separation notices), which
    halves the file.
    """
    content: dict[str, torch.Tensor] = {}
    for name, columns, scores in zip(NAMES, bank.columns, bank.scores, strict=True):
        content[f"{name}.columns"] = torch.from_numpy(np.ascontiguousarray(columns)).half()
        content[f"{name}.scores"] = torch.from_numpy(np.ascontiguousarray(scores))
    tensors.save(path, content, FORMAT, bank.provenance | {"geometry": _GEOMETRY})


def load_bases(path: Path) -> BasesBank:
    """Read a bank.

    Raises
    ------
    InvalidBases
        If the file is damaged, of another format or of another geometry.
    """
    stored = tensors.load(path, FORMAT)
    if stored.provenance.get("geometry") != _GEOMETRY:
        raise InvalidBases(f"{path.name} was made for {stored.provenance.get('geometry')}, wanted is {_GEOMETRY}")
    wanted = {f"{name}.{part}" for name in NAMES for part in ("columns", "scores")}
    if set(stored.tensors) != wanted:
        raise stored.mismatch("columns and scores of the eight instruments")
    return BasesBank(
        columns=tuple(stored.tensors[f"{name}.columns"].float().numpy() for name in NAMES),
        scores=tuple(stored.tensors[f"{name}.scores"].float().numpy() for name in NAMES),
        provenance=stored.provenance,
        sha256=stored.sha256,
    )


@lru_cache(maxsize=2)
def load_default_bases(separator: str = "nmf") -> BasesBank:
    """Return the bank that ships with Duetto for a separator, "nmf" or "report", read once a process.

    Raises
    ------
    InvalidBases
        If the file is missing or damaged.
    """
    return load_bases(WEIGHTS / f"{separator}-bases.safetensors")
