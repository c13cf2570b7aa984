"""Training of the learned separator from sound to a file, step by step: solos, bases, clips, network, report."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.device import about_device, resolve_device
from models.errors import TrainingDataError
from models.instruments import NAMES
from models.miml import load_miml
from models.refiner import load_refiner, save_refiner
from models.stft import SAMPLE_RATE
from models.training.certainty import fit_lines
from models.training.clips import clips_key, collect_clips
from models.training.collect import Say, collect_solos, say_balance
from models.training.cross_fit import cross_fitted_banks
from models.training.mixing import CLIP_SAMPLES, Mixer
from models.training.page import check_page_path, write_page
from models.training.provenance import made_with, today
from models.training.refining import BATCH, Point, between, gain_db, learning_rate, train_refiner
from models.training.separator_report import separator_report
from models.training.solos import Solo
from models.training.sources import fingerprint

_CLIP_SECONDS = CLIP_SAMPLES / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class SeparatorOptions:
    """What to learn from, how, and where the result goes. Defaults are those of ``duetto train separator``."""

    sources: tuple[str, ...]
    recordings: Path | None
    solos: Path | None
    minutes_per_class: float
    held_out: float
    held_out_origins: tuple[str, ...]
    clips: int
    held_out_clips: int
    steps: int
    seed: int
    jobs: int
    device: str
    start_from: Path | None
    keep_of_start: float
    cache: Path
    miml_file: Path
    out_file: Path
    report_file: Path

    @property
    def command(self) -> str:
        """The command that repeats this, with placeholders for folders."""
        if self.keep_of_start:
            return f"{self.training} --keep-of-start {self.keep_of_start:g}"
        return self.training

    @property
    def training(self) -> str:
        """The same without what is done when the steps have ended: runs that differ in that alone share them."""
        words = ["duetto", "train", "separator", "--sources", *self.sources]
        if self.recordings is not None:
            words += ["--recordings", "<recordings>"]
        if self.solos is not None:
            words += ["--solos", "<solos>"]
        words += ["--minutes-per-class", f"{self.minutes_per_class:g}"]
        if self.held_out_origins:
            words += ["--held-out-origins", *self.held_out_origins]
        else:
            words += ["--held-out", f"{self.held_out:g}"]
        words += ["--clips", str(self.clips), "--held-out-clips", str(self.held_out_clips)]
        words += ["--steps", str(self.steps), "--seed", str(self.seed), "--device", self.device]
        if self.start_from is not None:
            words += ["--start-from", "<weights>"]
        return " ".join(word if word.startswith("<") else shlex.quote(word) for word in words)


def train_separator(options: SeparatorOptions, say: Say) -> None:
    """Train, print how it goes, and write weights and report; nothing is written before all has succeeded.

    Raises
    ------
    TrainingDataError
        If nothing can be learnt from the solos, or the report's name says no known form.
    SourceUnavailable
        If a source cannot be fetched.
    InvalidBases
        If the MIML network that chooses bases, or the network to go on from, is missing or damaged.
    DeviceUnavailable
        If the device is not there.
    """
    check_page_path(options.report_file)
    if options.clips < BATCH:
        raise TrainingDataError(f"a separator is learnt from at least {BATCH} clips, {options.clips} were asked for")
    if options.keep_of_start and options.start_from is None:
        raise TrainingDataError("--keep-of-start says how much stays of --start-from: give both, or neither")
    device = resolve_device(options.device)
    start, parent = (None, None) if options.start_from is None else load_refiner(options.start_from)
    miml, _ = load_miml(options.miml_file)
    torch.set_num_threads(options.jobs)
    solos, sources = collect_solos(options, say)
    say_balance(solos, say)
    learnt, held = _split(solos, options)
    say(f"mixing {len(learnt)} solos to learn from, {len(held)} to measure on")
    banks = cross_fitted_banks(
        solos, miml, seed=options.seed, progress=lambda name: say(f"chose bases of {name}, without each of its sources")
    )
    key = clips_key(fingerprint(solo.path for solo in solos), banks, options.seed)
    pools = []
    for what, these, count, seed in (
        ("to learn from", learnt, options.clips, options.seed),
        ("to measure on", held, options.held_out_clips, options.seed + 1),
    ):
        mark = hashlib.sha256(
            "".join(f"{solo.instrument}/{solo.origin}/{solo.path.name}\n" for solo in these).encode()
        ).hexdigest()[:8]
        pools.append(
            collect_clips(
                Mixer(these, seed),
                banks,
                count,
                options.cache / "clips" / f"{key}-{mark}-{seed}",
                jobs=options.jobs,
                progress=lambda done, total, what=what: say(f"made {done} of {total} clips {what}"),  # type: ignore[misc]
            )
        )
    say(f"learning for {options.steps} steps of {BATCH} clips, {options.steps * BATCH / len(pools[0]):.1f} epochs")
    run = hashlib.sha256(f"{key} {options.training} {parent.sha256 if parent else ''}".encode()).hexdigest()[:16]
    network, curve = train_refiner(
        *pools,
        steps=options.steps,
        seed=options.seed,
        checkpoint=options.cache / "checkpoints" / f"separator-{run}.pt",
        device=device,
        start=start,
        on_point=lambda point, seconds: say(_told(point, options.steps, seconds)),
    )
    kept_gain_db = curve[-1].held_out_db
    if start is not None and options.keep_of_start:
        network = between(start, network, options.keep_of_start)
        kept_gain_db = gain_db(network, pools[1], torch.device("cpu"))
        say(f"kept: {options.keep_of_start:g} of the start, {kept_gain_db:+.2f} dB held out")
    lines = fit_lines(network, pools[1])
    for name, line in lines.items():
        say(f"SDR by {name} is likely {line.offset_db:.2f} dB + {line.slope:.3f} x energy over that in doubt, in dB")
    record = _record(options, solos, learnt, sources, curve, device)
    if parent is not None:
        record["started_from"] = {"sha256": parent.sha256, "provenance": parent.provenance}
    record["held_out_db"] = kept_gain_db
    record["sdr_lines"] = {name: asdict(line) for name, line in lines.items()}
    save_refiner(options.out_file, network, record)
    write_page(options.report_file, separator_report(record, curve))
    say(f"wrote {options.out_file} and {options.report_file}")


def _split(solos: list[Solo], options: SeparatorOptions) -> tuple[list[Solo], list[Solo]]:
    """What is learnt from, and what is measured on: whole recordings, or whole origins."""
    if options.held_out_origins:
        wanted = {tuple(name.split("/", 1)) for name in options.held_out_origins}
        held = [solo for solo in solos if (solo.instrument, solo.origin) in wanted]
        if missing := wanted - {(solo.instrument, solo.origin) for solo in held}:
            raise TrainingDataError(
                f"there is no {'/'.join(sorted(missing)[0])!r} among the solos to hold out: "
                "write INSTRUMENT/ORIGIN as the table of solos shows them"
            )
    else:
        rng = np.random.default_rng(options.seed)
        held = []
        for kind in sorted({(solo.instrument, solo.origin) for solo in solos}):
            mine = [solo for solo in solos if (solo.instrument, solo.origin) == kind]
            order = rng.permutation(len(mine))[: round(options.held_out * len(mine))]
            held += [mine[place] for place in sorted(order)]
    kept = set(held)
    learnt = [solo for solo in solos if solo not in kept]
    for what, part in (("learn from", learnt), ("measure on", held)):
        if len({solo.instrument for solo in part}) < 2:
            raise TrainingDataError(
                f"there are solos of fewer than two instruments to {what}: add some, or hold out another share"
            )
    return learnt, held


def _told(point: Point, steps: int, seconds: float) -> str:
    return (
        f"step {point.step} of {steps}: {point.trained_db:+.2f} dB over guided NMF, "
        f"{point.held_out_db:+.2f} dB held out ({seconds / 60:.0f} min)"
    )


def _record(
    options: SeparatorOptions,
    solos: list[Solo],
    learnt: list[Solo],
    sources: list[dict[str, Any]],
    curve: list[Point],
    device: torch.device,
) -> dict[str, Any]:
    origins = Counter((solo.instrument, solo.origin) for solo in learnt)
    return {
        "made_by": "duetto train separator",
        "command": options.command,
        "date": today(),
        "parameters": {
            "seed": options.seed,
            "steps": options.steps,
            "batch": BATCH,
            "optimizer": "AdamW",
            "learning_rate": learning_rate(options.start_from is not None),
            "kept_of_start": options.keep_of_start,
            "clips": options.clips,
            "clip_seconds": round(_CLIP_SECONDS, 2),
            "held_out_clips": options.held_out_clips,
        }
        | about_device(device),
        "split": "by origin" if options.held_out_origins else "by recording",
        "hours_of_clips": round(options.clips * _CLIP_SECONDS / 3600, 2),
        "classes": {
            name: {origin: count for (instrument, origin), count in sorted(origins.items()) if instrument == name}
            for name in NAMES
            if any(instrument == name for instrument, _ in origins)
        },
        "curve": [asdict(point) for point in curve],
        "sources": sources,
        "inputs_sha256": fingerprint(solo.path for solo in solos),
        "versions": made_with(),
    }
