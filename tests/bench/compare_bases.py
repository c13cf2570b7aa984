"""``python -m tests.bench.compare_bases SOLOS NETWORK``: the table 'Choosing bases and solver' of docs/benchmarks.md.

SOLOS is a folder CACHE/solos/* that `duetto train --cache CACHE` left, NETWORK its miml.safetensors. Duets are cut
from its solos, one of every pair of instruments in each of two folds; bases are then chosen from solos of *other*
sources than the duets', so that no instrument is heard that was learnt. Only the network has heard them all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.adaptive import Settings
from models.bases import BasesBank, select_bases
from models.coverage import cover, relevance, relevant, select_covering
from models.instruments import NAMES
from models.metrics import sdr
from models.miml import MIML, load_miml
from models.separation import separate
from models.separators import AdaptiveNMF, GuidedNMF, Separator
from models.stft import SAMPLE_RATE
from models.training.exemplars import exemplars
from models.training.networks import relate
from models.training.recordings import read_mono
from models.training.segments import collect_segments
from models.training.solos import Solo, list_solos
from tests.bench.compare_solvers import VariantNMF, separate_at_hop

HELD_OUT = (
    {"accordion": {"generaluser"}, "acoustic_guitar": {"philharmonia", "kyster"}, "cello": {"philharmonia"},
     "trumpet": {"philharmonia"}, "flute": {"philharmonia"}, "xylophone": {"vcsl-xylophone", "vcsl-marimba"},
     "saxophone": {"weresax"}, "violin": {"garner"}},
    {"accordion": {"fluidr3"}, "acoustic_guitar": {"tonejs-guitar-acoustic"}, "cello": {"tonejs-cello"},
     "trumpet": {"tonejs-trumpet"}, "flute": {"tonejs-flute"}, "xylophone": {"tonejs-xylophone"},
     "saxophone": {"tonejs-saxophone", "philharmonia"}, "violin": {"tonejs-violin"}},
)  # fmt: skip
SECONDS = (6.0, 9.0)
LOUDNESS_DB = 3.0
SHIFT_CENTS = 33.0
HOPS = (2048, 1024, 512)

Columns = NDArray[np.float32]
Choose = Callable[[list[Solo], int], Columns]
"""From the solos of one class and its label to its bases, (freq, n)."""


@dataclass(frozen=True)
class Duet:
    """True stems (2, samples), the two names, and which fold's bases know neither player."""

    stems: NDArray[np.float32]
    names: tuple[str, str]
    fold: int


def make_duets(solos: list[Solo], seed: int = 7) -> list[Duet]:
    """One duet of every pair in each fold, as loud as each other to 3 dB."""
    rng = np.random.default_rng(seed)
    duets = []
    for fold, held_out in enumerate(HELD_OUT):
        for pair in combinations(NAMES, 2):
            samples = round(rng.uniform(*SECONDS) * SAMPLE_RATE)
            stems = []
            for name in rng.permutation(pair):
                ours = [solo for solo in solos if solo.instrument == name and solo.origin in held_out[name]]
                audio = read_mono(ours[rng.integers(len(ours))].path)
                first = int(rng.integers(len(audio) - samples))
                stem = audio[first : first + samples]
                gain = 10 ** (rng.uniform(-LOUDNESS_DB, LOUDNESS_DB) / 40) / np.sqrt(np.square(stem).mean() + 1e-12)
                stems.append((name, 0.05 * gain * stem))
            names = (str(stems[0][0]), str(stems[1][0]))
            duets.append(Duet(np.stack([stem for _, stem in stems]).astype(np.float32), names, fold))
    return duets


def banks(solos: list[Solo], choose: Choose) -> list[BasesBank]:
    """One bank a fold, of the solos that are not held out in it."""
    made = []
    for held_out in HELD_OUT:
        columns = tuple(
            choose([solo for solo in solos if solo.instrument == name and solo.origin not in held_out[name]], label)
            for label, name in enumerate(NAMES)
        )
        made.append(BasesBank(columns, tuple(np.zeros(part.shape[1], np.float32) for part in columns)))
    return made


def measure(what: str, duets: list[Duet], separators: list[Separator]) -> None:
    """Print one row of these two separators, one a fold."""

    def run(mix: NDArray[np.float32], duet: Duet) -> NDArray[np.float32]:
        return np.concatenate(separate(mix, SAMPLE_RATE, separators[duet.fold], *duet.names))

    measure_by(what, duets, run)


def measure_by(what: str, duets: list[Duet], run: Callable[[NDArray[np.float32], Duet], NDArray[np.float32]]) -> None:
    """Print one row: the mean SDR of each fold and of all, the worst duet, seconds a second."""
    began = time.perf_counter()
    means = []
    for duet in duets:
        estimates = run(duet.stems.sum(axis=0, keepdims=True), duet)
        means.append(float(sdr(duet.stems, estimates).mean()))
    cost = (time.perf_counter() - began) / (sum(duet.stems.shape[1] for duet in duets) / SAMPLE_RATE)
    fold_a, fold_b = (np.mean([m for m, duet in zip(means, duets, strict=True) if duet.fold == f]) for f in (0, 1))
    numbers = f"{fold_a:.2f} | {fold_b:.2f} | {np.mean(means):.2f} | {min(means):.1f} | {sum(m < 0 for m in means)}"
    print(f"| {what} | {numbers} | {cost:.3f} |", flush=True)


@lru_cache(maxsize=2 * len(NAMES))
def _candidates(solos: tuple[Solo, ...], label: int) -> Columns:
    """Spectra of single frames, read once for all selections."""
    return exemplars(list(solos), (0, label))


def covering(network: MIML, keep: int, seed: int) -> Choose:
    """By relevance, then coverage: what ships."""

    def choose(solos: list[Solo], label: int) -> Columns:
        S = _candidates(tuple(solos), label)
        return select_covering(S, relevance(network, S), label, keep, seed)[0]

    return choose


def _from_frames(pick: Callable[[Columns], NDArray[np.int64]]) -> Choose:
    def choose(solos: list[Solo], label: int) -> Columns:
        S = _candidates(tuple(solos), label)
        return S[:, pick(S)]

    return choose


def _at_random(S: Columns) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(S.shape[1])[:800].astype(np.int64)


def _relevant_at_random(network: MIML) -> Choose:
    def choose(solos: list[Solo], label: int) -> Columns:
        S = _candidates(tuple(solos), label)
        S = S[:, relevant(relevance(network, S), label)]
        return S[:, _at_random(S)]

    return choose


def _from_segments(solos: list[Solo], cache: Path, network: MIML, keep: int, *, one_each: bool) -> Choose:
    segments = collect_segments(solos, cache, jobs=2)
    X = relate(network, segments.W)

    def choose(allowed: list[Solo], label: int) -> Columns:
        paths = {solo.path for solo in allowed}
        mine = np.flatnonzero([segments.solos[index].path in paths for index in segments.recordings])
        if one_each:
            return select_bases(segments.W[mine], X[mine], segments.labels[mine], keep)[0][label]
        # (segments, M): how much more the network takes a basis for its own class than for any other
        margin = X[mine, label] - np.delete(X[mine], label, axis=1).max(axis=1)
        best = np.argsort(-margin, axis=None, kind="stable")[:keep]
        rows, instances = np.unravel_index(best, margin.shape)
        return np.ascontiguousarray(segments.W[mine[rows], :, instances].T)

    return choose


def _shifted(choose: Choose) -> Choose:
    def shift(W: Columns, cents: float) -> Columns:
        rows = np.arange(W.shape[0])
        moved = [np.interp(rows / 2 ** (cents / 1200), rows, column) for column in W.T]
        return np.stack(moved, axis=1).astype(np.float32)

    def with_copies(solos: list[Solo], label: int) -> Columns:
        W = choose(solos, label)
        return np.concatenate([W, shift(W, SHIFT_CENTS), shift(W, -SHIFT_CENTS)], axis=1)

    return with_copies


def main(folder: Path, network_file: Path) -> None:
    """Print both tables."""
    solos = list_solos(folder)
    network, _ = load_miml(network_file)
    duets = make_duets(solos)
    head = "| fold A | fold B | mean | worst | below 0 | s/s |\n|---|---|---|---|---|---|---|"
    print(f"{len(duets)} duets\n\n| bases (solver: nmf) {head}")
    selections: dict[str, Choose] = {
        "the report's: the best of each segment, 400": _from_segments(
            solos, folder.parents[1], network, 400, one_each=True
        ),
        "several a segment by relevance, 800": _from_segments(solos, folder.parents[1], network, 800, one_each=False),
        "frames at random, 800": _from_frames(_at_random),
        "frames by relevance, at random, 800": _relevant_at_random(network),
        "frames by coverage alone, 800": _from_frames(lambda S: cover(S, 800)),
        **{f"frames by relevance, then coverage, {n}": covering(network, n, 0) for n in (100, 400, 800, 1600)},
        "the same, 800, another seed": covering(network, 800, 1),
        "267 and copies 33 cents up and down": _shifted(covering(network, 267, 0)),
    }
    shipped: list[BasesBank] = []
    for what, choose in selections.items():
        made = banks(solos, choose)
        if what == "the report's: the best of each segment, 400":
            measure("the report's bases and solver", duets, [GuidedNMF(bank) for bank in made])
        if what == "frames by relevance, then coverage, 800":
            shipped = made
        measure(what, duets, [AdaptiveNMF(bank) for bank in made])
    print(f"\n| solver (bases: as shipped, 800) {head}")
    base = Settings()
    plain = replace(base, smoothing_share=0.0, spectra_at_once=10_000, equaliser_iterations=0, adaptations=0)
    settings = {
        "nmf": base,
        **{f"beta {beta}": replace(base, beta=beta) for beta in (0.0, 0.5, 0.7, 1.0, 2.0)},
        **{f"sparsity {cost:g}": replace(base, sparsity=cost) for cost in (0.0, 1.0, 10.0, 30.0)},
        "8 and 8 iterations": replace(base, iterations=8, pruned_iterations=8),
        "50 and 50 iterations": replace(base, iterations=50, pruned_iterations=50),
        "without smoothing": replace(base, smoothing_share=0.0),
        "without pruning": replace(base, spectra_at_once=10_000),
        "10 spectra at once": replace(base, spectra_at_once=10),
        "without equaliser": replace(base, equaliser_iterations=0),
        "without adapting": replace(base, adaptations=0),
        "none of these": plain,
        "none of these, Kullback-Leibler": replace(plain, beta=1.0),
    }
    for what, chosen in settings.items():
        measure(what, duets, [AdaptiveNMF(bank, chosen) for bank in shipped])
    variants: dict[str, dict[str, float]] = {
        "mask exponent 0.7": {"exponent": 0.7},
        "mask exponent 1.5": {"exponent": 1.5},
        "mask exponent 2": {"exponent": 2.0},
        **{f"group sparse a player a frame, {cost:g}": {"group": cost} for cost in (0.1, 1.0, 10.0)},
    }
    for what, changed in variants.items():
        measure(what, duets, [VariantNMF(bank, **changed) for bank in shipped])
    for hop in HOPS:
        measure_by(
            f"hop {hop}, the clip as one window",
            duets,
            lambda mix, duet, hop=hop: separate_at_hop(mix, shipped[duet.fold], duet.names, hop),  # type: ignore[misc]
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
