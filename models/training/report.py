"""The report of a training run: what was learnt from, how well it was learnt, and what was picked.

It holds the run's own record and what is counted from its segments, and nothing that changes when the same
run is reported again.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bases import BasesBank
from models.instruments import INSTRUMENTS, NAMES
from models.pictures.sheet import Sheet
from models.training.networks import Epoch
from models.training.page import Block, Code, Heading, Page, Paragraph, Picture, Table
from models.training.pictures import draw_bases, draw_confusion, draw_curve, draw_relation, pitches, spoken
from models.training.segments import Segments

_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_MIDDLE_SHARE = (10.0, 90.0)
"""Percentiles between which the pitches of a class's bases are told: a few have none and land anywhere."""


def training_report(
    record: dict[str, Any],
    segments: Segments,
    held_out: NDArray[np.bool_],
    X: NDArray[np.float32],
    bank: BasesBank,
    history: list[Epoch],
) -> Page:
    """Return the report of one training run.

    Parameters
    ----------
    record
        The provenance record of the run.
    segments
        What was learnt from; only labels, recordings and origins are looked at.
    held_out : np.ndarray [shape=(segments,), bool]
    X : np.ndarray [shape=(segments, 8, M), float32]
        Class-basis relation of every segment, by the trained network.
    bank
        The bases that were picked.
    history
        The epochs whose loss is known, in order; those of an old checkpoint are missing.
    """
    learnt, held = (confusion(X, segments.labels, chosen) for chosen in (~held_out, held_out))
    return Page(
        f"Training report, {record['date']}",
        (
            *_run(record),
            Heading("Sources"),
            sources_table(record["sources"]),
            *_balance(record, segments, held_out),
            *_accuracy(learnt, held),
            *_curve(record, history),
            *_maps(segments, held_out, X),
            *_bases(segments, X, bank),
            Heading("Made with"),
            versions_table(record),
        ),
    )


def confusion(X: NDArray[np.float32], labels: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count, among the `chosen` segments, how often each class (row) was taken for each class (column).

    Parameters
    ----------
    X : np.ndarray [shape=(segments, 8, M), float32]
    labels : np.ndarray [shape=(segments,), int64]
    chosen : np.ndarray [shape=(segments,), bool]

    Returns
    -------
    np.ndarray [shape=(8, 8), int64]
    """
    counts = np.zeros((len(NAMES), len(NAMES)), np.int64)
    np.add.at(counts, (labels[chosen], X[chosen].max(axis=2).argmax(axis=1)), 1)
    return counts


def _run(record: dict[str, Any]) -> list[Block]:
    parameters, accuracy = record["parameters"], record["accuracy"]
    bases = sum(one["bases"] for one in record["classes"].values())
    learnt, held = (
        sum(one[key] for one in record["classes"].values()) for key in ("segments_train", "segments_held_out")
    )
    return [
        Paragraph(
            f"Made on {record['date']} with seed {parameters['seed']}: {learnt:,} segments of 5 s learnt from, "
            f"{held:,} held out by whole recordings; {accuracy['train']:.3f} of the first and "
            f"{accuracy['held_out']:.3f} of the second classified right; {bases:,} bases kept."
        ),
        Code(record["command"]),
        Table(
            "Parameters",
            ("parameter", "value"),
            tuple((name.replace("_", " "), str(value)) for name, value in sorted(parameters.items())),
        ),
    ]


def sources_table(sources: list[dict[str, Any]]) -> Table:
    """Return the table of whom to credit."""
    rows = []
    for source in sources:
        instruments = source.get("instruments", NAMES)
        rows.append(
            (
                source["name"],
                "all" if len(instruments) == len(NAMES) else ", ".join(spoken(name) for name in instruments),
                str(source["files"]),
                source["licence"],
                source.get("credit", "not stated"),
            )
        )
    head = ("source", "instruments", "files", "licence", "credit")
    return Table("What was learnt from, and under which licence", head, tuple(rows))


def _balance(record: dict[str, Any], segments: Segments, held_out: NDArray[np.bool_]) -> list[Block]:
    origin_of = [solo.origin for solo in segments.solos]
    tally = Counter(
        (origin_of[recording], int(label), bool(held))
        for recording, label, held in zip(segments.recordings, segments.labels, held_out, strict=True)
    )
    origins = sorted({origin for origin, _, _ in tally})
    present = [instrument for instrument in INSTRUMENTS if instrument.name in record["classes"]]

    def cell(origin: str, label: int) -> str:
        learnt, held = tally[origin, label, False], tally[origin, label, True]
        return f"{learnt} + {held}" if learnt + held else ""

    totals = tuple(
        (
            spoken(name),
            str(one["segments_train"]),
            str(one["segments_held_out"]),
            str(len(np.unique(segments.recordings[segments.labels == NAMES.index(name)]))),
        )
        for name, one in sorted(record["classes"].items(), key=lambda item: NAMES.index(item[0]))
    )
    missing = [spoken(name) for name in NAMES if name not in record["classes"]]
    blocks: list[Block] = [
        Heading("Balance"),
        Table("Segments and recordings of each instrument", ("instrument", "learnt", "held out", "recordings"), totals),
        Table(
            "Segments by origin, learnt + held out",
            ("origin", *(spoken(instrument.name) for instrument in present)),
            tuple((origin, *(cell(origin, instrument.index) for instrument in present)) for origin in origins),
        ),
    ]
    if missing:
        blocks.insert(1, Paragraph(f"Nothing was there to learn from for: {', '.join(missing)}."))
    return blocks


def _accuracy(learnt: NDArray[np.int64], counts: NDArray[np.int64]) -> list[Block]:
    def row(name: str, part: slice) -> tuple[str, ...]:
        shares, tallies = [], []
        for each in (learnt, counts):
            right, total = int(np.diag(each)[part].sum()), int(each[part].sum())
            shares.append(f"{right / total:.3f}" if total else "")
            tallies.append(f"{right} of {total}")
        return (name, *shares, *tallies)

    rows = [
        row(spoken(instrument.name), slice(instrument.index, instrument.index + 1))
        for instrument in INSTRUMENTS
        if learnt[instrument.index].any() or counts[instrument.index].any()
    ]
    rows.append(row("all", slice(None)))
    right, total = int(np.trace(counts)), int(counts.sum())
    wrong = counts - np.diag(np.diag(counts))
    place = np.unravel_index(int(wrong.argmax()), wrong.shape)
    alt = f"Confusion matrix of the held-out segments: {right} of {total} on the diagonal."
    if wrong.any():
        alt += f" Most often confused: {wrong[place]} of {spoken(NAMES[place[0]])} taken for {spoken(NAMES[place[1]])}."
    return [
        Heading("Accuracy"),
        Paragraph(
            "Share of segments whose highest score D is that of their own instrument. Held-out recordings are never "
            "learnt from, but those that were made from notes and soundfonts are played on the same samples."
        ),
        Table(
            "Accuracy by instrument",
            ("instrument", "learnt", "held out", "learnt, right", "held out, right"),
            tuple(rows),
        ),
        picture(
            "confusion",
            draw_confusion(counts),
            alt,
            "Held-out segments: rows are what they are, columns what they were taken for; colours are shares of a row.",
        ),
        Table(
            "The same in numbers: rows are what segments are, columns what they were taken for",
            ("really", *(spoken(name) for name in NAMES)),
            tuple(
                (spoken(name), *(str(count) for count in row))
                for name, row in zip(NAMES, counts.tolist(), strict=True)
                if sum(row)
            ),
        ),
    ]


def _curve(record: dict[str, Any], history: list[Epoch]) -> list[Block]:
    if not history:
        epochs = record["parameters"]["epochs"]
        text = f"All {epochs} epochs were learnt by an earlier version, whose checkpoint kept no losses."
        return [Heading("Training curve"), Paragraph(text)]
    first, last = history[0], history[-1]
    best = max(history, key=lambda epoch: epoch.held_out)
    blocks: list[Block] = [Heading("Training curve")]
    if first.number > 1:
        blocks.append(Paragraph(f"Epochs before the {first.number}th were learnt by a version that kept no losses."))
    blocks.append(
        picture(
            "curve",
            draw_curve(history),
            f"Two curves over epochs {first.number} to {last.number}: the loss goes from {first.loss:.3f} to "
            f"{last.loss:.4f}, the held-out accuracy from {first.held_out:.3f} to {last.held_out:.3f}.",
            f"Loss and held-out accuracy of each epoch. The last epoch's weights are kept ({last.held_out:.3f}), "
            f"not the best one's (epoch {best.number}, {best.held_out:.3f}): to choose by the held-out segments would "
            "spoil them as a measure.",
        )
    )
    marks = [epoch for epoch in history if epoch in (first, last) or epoch.number % max(1, last.number // 10) == 0]
    blocks.append(
        Table(
            "Some of its points",
            ("epoch", "loss", "held-out accuracy"),
            tuple((str(epoch.number), f"{epoch.loss:.4f}", f"{epoch.held_out:.3f}") for epoch in marks),
        )
    )
    return blocks


def _maps(segments: Segments, held_out: NDArray[np.bool_], X: NDArray[np.float32]) -> list[Block]:
    blocks: list[Block] = [
        Heading("Class-basis maps"),
        Paragraph(
            "The relation X of one held-out segment an instrument (report section 2.3.2): rows are classes, columns "
            "the segment's bases, dark is related. A segment's class is the row that holds the highest value. "
            "Selection takes from each rightly classified segment the basis with the highest value in that row; it is "
            "framed. Shown is, of the segments classified right, the one in the middle by that value."
        ),
    ]
    for instrument in INSTRUMENTS:
        mine = np.flatnonzero(held_out & (segments.labels == instrument.index))
        if not len(mine):
            continue
        right = mine[X[mine].max(axis=2).argmax(axis=1) == instrument.index]
        shown = _middle(X[:, instrument.index].max(axis=1), right if len(right) else mine)
        name, origin = spoken(instrument.name), segments.solos[int(segments.recordings[shown])].origin
        best = int(X[shown, instrument.index].argmax())
        taken = int(X[shown].max(axis=1).argmax())
        verdict = "" if taken == instrument.index else f" It was taken for {spoken(NAMES[taken])}: nothing is picked."
        others = np.delete(X[shown], instrument.index, axis=0)
        blocks.append(
            picture(
                f"map-{instrument.name}",
                draw_relation(X[shown], instrument.index, None if verdict else best),
                f"Class-basis map of a segment of {name}: basis {best + 1} has the highest value of its row, "
                f"{X[shown, instrument.index, best]:.1f}; the highest of any other class is {others.max():.1f}.",
                f"{name[0].upper()}{name[1:]}, from {origin}.{verdict}",
            )
        )
    return blocks


def _middle(values: NDArray[np.float32], among: NDArray[np.int64]) -> int:
    """The index, of those `among`, whose value is the (lower) median."""
    order = among[np.argsort(values[among], kind="stable")]
    return int(order[(len(order) - 1) // 2])


def _bases(segments: Segments, X: NDArray[np.float32], bank: BasesBank) -> list[Block]:
    right = X.max(axis=2).argmax(axis=1) == segments.labels
    rows: list[tuple[str, ...]] = []
    pictures: list[Block] = []
    for instrument, columns, scores in zip(INSTRUMENTS, bank.columns, bank.scores, strict=True):
        name, count = spoken(instrument.name), columns.shape[1]
        offered = int((right & (segments.labels == instrument.index)).sum())
        if not count:
            rows.append((name, str(offered), "0", "", "", "", ""))
            continue
        low, high = np.percentile(pitches(columns), _MIDDLE_SHARE)
        spread = [f"{value:.2f}" for value in (scores.max(), np.median(scores), scores.min())]
        rows.append((name, str(offered), str(count), *spread, f"{_note(low)} to {_note(high)}"))
        pictures.append(
            picture(
                f"bases-{instrument.name}",
                draw_bases(columns),
                f"Spectra of the {count} bases kept for {name}, sorted by pitch; most lie between {_note(low)} and "
                f"{_note(high)}.",
                f"{name[0].upper()}{name[1:]}: {count} bases, scores {spread[0]} to {spread[2]}.",
            )
        )
    return [
        Heading("Bases"),
        Paragraph(
            "One basis of every rightly classified segment, learnt from or held out, is offered with its value of X as "
            "score; the best are kept. Scores of different instruments do not compare. Pitches are estimated from the "
            "spectra, and those of the middle four fifths are given."
        ),
        Table(
            "Bases kept of each instrument",
            ("instrument", "offered", "kept", "highest score", "median", "lowest", "pitches"),
            tuple(rows),
        ),
        Paragraph(
            "Every column of a picture is one basis, sorted by estimated pitch; frequency goes up, logarithmic, 40 Hz "
            "to 16 kHz; dark is loud, over 60 dB below the basis's own peak. A flat stretch is one pitch picked many "
            "times, a jump a pitch that is missing."
        ),
        *pictures,
    ]


def versions_table(record: dict[str, Any]) -> Table:
    """Return the table of what the run was made with."""
    rows = (*record["versions"].items(), ("SHA-256 of the sound learnt from", record["inputs_sha256"]))
    return Table("Versions", ("what", "version"), tuple((name, str(v)) for name, v in rows))


def _note(midi: float) -> str:
    """The nearest note's name, in scientific pitch notation (A4 is 440 Hz)."""
    number = round(midi)
    return f"{_NOTES[number % 12]}{number // 12 - 1}"


def picture(name: str, sheet: Sheet, alt: str, caption: str) -> Picture:
    """Return a sheet as a page's picture."""
    return Picture(name, sheet.png(), sheet.width, sheet.height, alt, caption)
