"""Training the listener from sound to file: gather, make solos, learn twice, measure, save.

The first network learns without the origins that are held out, and is measured on them: how often it is right, and by
which temperature its probabilities are as often right as they say. The second one learns from everything, and is what
is kept; nothing is left to measure it on.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import TrainingDataError
from models.hearing.network import save_network
from models.training.collect import Say, collect_solos, say_balance
from models.training.hearing import (
    BATCH,
    LEARNING_RATE,
    HearingAccuracy,
    hold_out_origins,
    measure_network,
    solo_powers,
    train_network,
)
from models.training.provenance import made_with, today
from models.training.solos import Solo
from models.training.sources import fingerprint

_SAY_SOLOS = 100
_SAY_EXAMPLES = 10_000
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """What to learn from, how, and where the result goes. Defaults are those of ``duetto train listener``."""

    sources: tuple[str, ...]
    recordings: Path | None
    solos: Path | None
    minutes_per_class: float
    examples: int
    held_out_origins: tuple[str, ...]
    seed: int
    jobs: int
    cache: Path
    out_file: Path

    @property
    def command(self) -> str:
        """The command that repeats this training, with placeholders for folders."""
        words = ["duetto", "train", "listener", "--sources", *self.sources]
        if self.recordings is not None:
            words += ["--recordings", "<recordings>"]
        if self.solos is not None:
            words += ["--solos", "<solos>"]
        words += ["--minutes-per-class", f"{self.minutes_per_class:g}", "--examples", str(self.examples)]
        if self.held_out_origins:
            words += ["--held-out-origins", *self.held_out_origins]
        words += ["--seed", str(self.seed)]
        return " ".join(word if word.startswith("<") else shlex.quote(word) for word in words)


def train_listener(options: ListenerOptions, say: Say) -> HearingAccuracy:
    """Train, say how well, and write the file; return what was measured on held-out origins.

    Raises
    ------
    TrainingDataError
        If the solos are missing, an instrument has none, or no origin can be held out.
    SourceUnavailable
        If a source cannot be fetched.
    """
    torch.set_num_threads(options.jobs)
    solos, credits_ = collect_solos(options, say)
    say_balance(solos, say)
    powers = solo_powers(solos, lambda done, total: _say_some(say, "read", done, total, "solos", _SAY_SOLOS))
    if options.held_out_origins:
        held_out = named_origins(solos, options.held_out_origins)
    else:
        held_out = hold_out_origins(powers, options.seed)
    held = sorted({f"{solos[i].instrument}/{solos[i].origin}" for i in np.flatnonzero(held_out)})
    say(f"holding out {', '.join(held) or 'nothing'}")
    first = train_network(powers, held_out, examples=options.examples, seed=options.seed, on_step=_steps(options, say))
    accuracy = measure_network(first, powers, held_out, options.seed)
    say(
        f"on mixtures of two held-out solos: the true pair is the most likely of 28 in {accuracy.right_pair:.0%}, "
        f"log-loss {accuracy.log_loss:.2f} nats (chance: {np.log(28):.2f}), temperature {accuracy.temperature:.2f}"
    )
    nothing = np.zeros(len(solos), dtype=np.bool_)
    network = train_network(powers, nothing, examples=options.examples, seed=options.seed, on_step=_steps(options, say))
    save_network(options.out_file, network, accuracy.temperature, _record(options, solos, credits_, held, accuracy))
    say(f"wrote {options.out_file}")
    return accuracy


def named_origins(solos: list[Solo], names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which solos are of the origins named as INSTRUMENT/ORIGIN.

    Raises
    ------
    TrainingDataError
        If there is no solo of one.
    """
    of_solos = [f"{solo.instrument}/{solo.origin}" for solo in solos]
    if missing := sorted(set(names) - set(of_solos)):
        raise TrainingDataError(
            f"there is no solo of {', '.join(missing)}; there are {', '.join(sorted(set(of_solos)))}"
        )
    return np.array([one in names for one in of_solos], dtype=np.bool_)


def _steps(options: ListenerOptions, say: Say) -> Callable[[int, float], None]:
    def tell(done: int, loss: float) -> None:
        if done % _SAY_EXAMPLES < BATCH:
            say(f"learnt from {done} of {options.examples} mixtures, loss {loss:.3f}")

    return tell


def _say_some(say: Say, did: str, done: int, total: int, what: str, every: int) -> None:
    if done % every == 0 or done == total:
        say(f"{did} {done} of {total} {what}")


def _record(
    options: ListenerOptions,
    solos: list[Solo],
    credits_: list[dict[str, Any]],
    held: list[str],
    accuracy: HearingAccuracy,
) -> dict[str, Any]:
    return {
        "made_by": "duetto train listener",
        "command": options.command,
        "date": today(),
        "parameters": {
            "seed": options.seed,
            "examples": options.examples,
            "batch": BATCH,
            "optimizer": "AdamW",
            "learning_rate": LEARNING_RATE,
        },
        "split": "by origin; the kept network learnt from all of them",
        "held_out": held,
        "accuracy": {
            "right_pair": round(accuracy.right_pair, _DIGITS),
            "log_loss": round(accuracy.log_loss, _DIGITS),
            "temperature": round(accuracy.temperature, _DIGITS),
        },
        "solos": len(solos),
        "sources": credits_,
        "inputs_sha256": fingerprint(solo.path for solo in solos),
        "versions": made_with(),
    }
