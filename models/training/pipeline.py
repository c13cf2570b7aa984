"""Training from sound to files, step by step: gather, make solos, factorise, learn, select, save."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.bases import BasesBank, save_bases, select_bases
from models.instruments import INSTRUMENTS, NAMES
from models.miml import save_miml
from models.nmf import FREE_ITERATIONS, M_COMPONENTS
from models.training.collect import Say, collect_solos, say_balance
from models.training.exemplars import covering_bank, covering_record
from models.training.networks import BATCH, LEARNING_RATE, Accuracy, Epoch, measure, relate, train_miml
from models.training.page import check_page_path, write_page
from models.training.provenance import provenance
from models.training.report import training_report
from models.training.segments import Segments, collect_segments, hold_out

_SAY_RECORDINGS = 25
_SAY_EPOCHS = 5


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What to learn from, how, and where the result goes. Defaults are those of ``duetto train``."""

    sources: tuple[str, ...]
    recordings: Path | None
    solos: Path | None
    minutes_per_class: float
    held_out: float
    epochs: int
    keep: int
    keep_covering: int
    seed: int
    jobs: int
    cache: Path
    bases_file: Path
    covering_file: Path
    network_file: Path
    report_file: Path

    @property
    def command(self) -> str:
        """The command that repeats this training, with placeholders for folders."""
        words = ["duetto", "train", "--sources", *self.sources]
        if self.recordings is not None:
            words += ["--recordings", "<recordings>"]
        if self.solos is not None:
            words += ["--solos", "<solos>"]
        words += ["--minutes-per-class", f"{self.minutes_per_class:g}", "--held-out", f"{self.held_out:g}"]
        words += ["--epochs", str(self.epochs), "--keep", str(self.keep), "--seed", str(self.seed)]
        words += ["--keep-covering", str(self.keep_covering)]
        return " ".join(word if word.startswith("<") else shlex.quote(word) for word in words)


def train(options: TrainingOptions, say: Say) -> BasesBank:
    """Train, print what is learnt and how well, write the files and the report, and return the bank of bases.

    Nothing is written to them unless everything before has succeeded.

    Raises
    ------
    TrainingDataError
        If the solos are missing or nothing can be learnt from them, or the report's name says no known form.
    SourceUnavailable
        If a source cannot be fetched.
    """
    check_page_path(options.report_file)
    torch.set_num_threads(options.jobs)
    solos, credits_ = collect_solos(options, say)
    say_balance(solos, say)
    segments = collect_segments(
        solos,
        options.cache,
        seed=options.seed,
        jobs=options.jobs,
        progress=lambda done, total: (
            say(f"factorised {done} of {total} recordings") if done % _SAY_RECORDINGS == 0 or done == total else None
        ),
    )
    held_out = hold_out(segments, options.held_out, options.seed)
    say(f"learning from {int((~held_out).sum())} segments, holding out {int(held_out.sum())}, {options.epochs} epochs")
    history: list[Epoch] = []
    network = train_miml(
        segments.W,
        segments.labels,
        held_out,
        epochs=options.epochs,
        seed=options.seed,
        checkpoint=_checkpoint(options, segments, held_out),
        on_epoch=lambda epoch, loss: (
            say(f"epoch {epoch}: loss {loss:.4f}") if epoch % _SAY_EPOCHS == 0 or epoch == options.epochs else None
        ),
        history=history,
    )
    X = relate(network, segments.W)
    accuracy = measure(X, segments.labels, held_out)
    columns, scores = select_bases(segments.W, X, segments.labels, keep=options.keep)
    counts = {name: int(part.shape[1]) for name, part in zip(NAMES, columns, strict=True)}
    _say_accuracy(segments, held_out, accuracy, counts, say)
    record = provenance(
        command=options.command,
        parameters=_parameters(options),
        sources=credits_,
        segments=segments,
        held_out=held_out,
        accuracy=accuracy,
        bases=counts,
    )
    bank = BasesBank(columns=columns, scores=scores, provenance=record)
    covering = covering_bank(
        solos, network, keep=options.keep_covering, seed=options.seed, progress=_tell_covering(say)
    )
    save_miml(options.network_file, network, record)
    save_bases(options.bases_file, bank)
    save_bases(options.covering_file, replace(covering, provenance=covering_record(record, covering)))
    write_page(options.report_file, training_report(record, segments, held_out, X, bank, history))
    say(f"wrote {options.bases_file}, {options.covering_file}, {options.network_file} and {options.report_file}")
    return bank


def _checkpoint(options: TrainingOptions, segments: Segments, held_out: NDArray[np.bool_]) -> Path:
    key = hashlib.sha256(f"{segments.sha256} {options.seed}".encode())
    key.update(np.packbits(held_out).tobytes())
    return options.cache / "checkpoints" / f"{key.hexdigest()[:16]}.pt"


def _tell_covering(say: Say) -> Callable[[str, int], None]:
    return lambda name, count: say(f"chose {count} spectra of {name} for coverage")


def _parameters(options: TrainingOptions) -> dict[str, Any]:
    return {
        "seed": options.seed,
        "epochs": options.epochs,
        "batch": BATCH,
        "optimizer": "Adam",
        "learning_rate": LEARNING_RATE,
        "bases_per_segment": M_COMPONENTS,
        "nmf_beta": 2.0,
        "nmf_iterations": FREE_ITERATIONS,
        "held_out_share": options.held_out,
        "bases_per_class": options.keep,
    }


def _say_accuracy(
    segments: Segments, held_out: NDArray[np.bool_], accuracy: Accuracy, bases: dict[str, int], say: Say
) -> None:
    say(f"{'instrument':18}{'segments':>9}{'held out':>9}{'accuracy':>9}{'held out':>9}{'bases':>7}")
    for instrument in INSTRUMENTS:
        mine = segments.labels == instrument.index
        if mine.any():
            train_share, held_share = accuracy.per_class[instrument.index]
            say(
                f"{instrument.name:18}{int((mine & ~held_out).sum()):>9}{int((mine & held_out).sum()):>9}"
                f"{train_share:>9.3f}{held_share:>9.3f}{bases[instrument.name]:>7}"
            )
            if bases[instrument.name] == 0:
                say(f"  no segment of {instrument.name} was classified right: train longer, or on more solos of it")
    say(f"{'all':36}{accuracy.train:>9.3f}{accuracy.held_out:>9.3f}{sum(bases.values()):>7}")
