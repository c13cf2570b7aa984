"""The evaluation for people and for programs: tables, Markdown, JSON. Nothing in it changes from run to run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.certainty import POOR_DB
from models.evaluation.duets import DuetResult
from models.evaluation.layout import SIDES
from models.evaluation.summary import Means, MethodSummary, Summary, mean_of_sides

JSON_FILE = "evaluation.json"
MARKDOWN_FILE = "evaluation.md"
FORMAT = "duetto-evaluation"
VERSION = 1
_DIGITS = 6  # of a dB in the JSON: what agrees with mir_eval
_NONE = "-"
_RATIOS = ("SDR", "SIR", "SAR", "SI-SDR")


@dataclass(frozen=True)
class Evaluation:
    """A whole evaluation.

    Attributes
    ----------
    results : tuple of DuetResult
    summary : Summary
    provenance : dict
        What it depends on: separators with parameters and bases by hash, tagger, code, versions. No path.
    """

    results: tuple[DuetResult, ...]
    summary: Summary
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Text in rows and columns. The first column is text, the others numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(evaluation: Evaluation) -> tuple[Table, ...]:
    """Return the tables: means, labels (where picture and sound gave them), instruments (where it is known who plays),
    duets; unequal duets, and likely beside true SDR, where there are any.
    """
    found = [_means_table(evaluation.summary)]
    if shares := _label_table(evaluation.results):
        found.append(shares)
    if evaluation.summary.instruments:
        found.append(_instrument_table(evaluation.summary))
    found.append(_duet_table(evaluation))
    summaries = evaluation.summary.methods
    if any(method.quieter_sdr for method in summaries.values()):
        found.append(_unequal_table(summaries))
    if any(method.likely_sdr for method in summaries.values()):
        found += [_stem_table(evaluation.results), _likely_table(summaries)]
    return tuple(found)


def as_markdown(evaluation: Evaluation) -> str:
    """Return the evaluation as a Markdown page."""
    parts = ["# Evaluation", *_notes(evaluation)]
    for table in tables(evaluation):
        rule = ["---", *("---:" for _ in table.headings[1:])]
        parts += [f"## {table.title}", "\n".join(_markdown_row(row) for row in (table.headings, rule, *table.rows))]
    return "\n\n".join(parts) + "\n"


def as_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation for JSON: ratios in dB, null where there is none or it is infinite."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "summary": asdict(evaluation.summary),
        "duets": [_duet_document(result) for result in evaluation.results],
        "provenance": evaluation.provenance,
    }
    finite: dict[str, Any] = _finite(document)
    return finite


def write_report(folder: Path, evaluation: Evaluation) -> None:
    """Write evaluation.json and evaluation.md, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_document(evaluation), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in ((JSON_FILE, text), (MARKDOWN_FILE, as_markdown(evaluation))):
        partial = folder / f".{name}.part"
        partial.write_text(content, "utf-8")
        partial.replace(folder / name)


def _notes(evaluation: Evaluation) -> list[str]:
    count = len(evaluation.results)
    meaning = (
        f"{count} {'duet' if count == 1 else 'duets'}. Ratios in dB: BSS Eval v3 with 512 taps, stems assigned to "
        "players by the highest mean SIR; SI-SDR of the same assignment. Order: share of duets where that assignment "
        "is left to left. SDR as placed: left stem for the left player, whatever fits better. Ceiling: the ideal "
        "ratio mask of the true stems; floor: the unseparated mix."
    )
    silent = {name: method.silent for name, method in evaluation.summary.methods.items() if method.silent}
    return [meaning] + [
        f"{name} gave a silent stem in {number} of {count}: not in its means, and counted as wrong in order."
        for name, number in silent.items()
    ]


def _means_table(summary: Summary) -> Table:
    headings = ("method", *_RATIOS, "SDR as placed", "order", "labels by side", "labels by duet")
    rows = [
        (
            name,
            *_ratios(method.means),
            _decibel(method.means.sdr_as_placed),
            _share(method.order_accuracy),
            _share(method.label_accuracy_by_side),
            _share(method.label_accuracy_by_duet),
        )
        for name, method in summary.methods.items()
    ]
    empty = (_NONE,) * (len(headings) - 2)
    rows += [("ceiling (ideal mask)", _decibel(summary.ceiling), *empty)]
    rows += [("floor (the mix)", _decibel(summary.floor), *empty)]
    return Table("Means", headings, tuple(rows))


def _label_table(results: Sequence[DuetResult]) -> Table | None:
    """How often each kind of evidence alone, and both, are right; the sound names no sides."""
    judged = [(result.seen, result.truth) for result in results if result.seen and result.truth]
    judged = [(seen, truth) for seen, truth in judged if "picture" in seen]
    if not judged:
        return None
    found = {
        "picture": [tuple(seen["picture"]) == truth for seen, truth in judged],
        "sound (without sides)": [set(seen["sound"] or ()) == set(truth) for seen, truth in judged],
        "picture and sound": [_names(seen) == truth for seen, truth in judged],
    }
    rows = [(name, f"{sum(right)} of {len(right)}", _share(sum(right) / len(right))) for name, right in found.items()]
    return Table("Labels", ("evidence", "both sides right", "share"), tuple(rows))


def _instrument_table(summary: Summary) -> Table:
    headings = ("instrument", "stems", *_grouped(summary.methods, _RATIOS), "ceiling", "floor")
    rows = [
        (
            name.replace("_", " "),
            str(one.stems),
            *(cell for means in one.methods.values() for cell in _ratios(means)),
            _decibel(one.ceiling),
            _decibel(one.floor),
        )
        for name, one in summary.instruments.items()
    ]
    return Table("Instruments", headings, tuple(rows))


def _unequal_table(methods: Mapping[str, MethodSummary]) -> Table:
    """Mean SDR of the quieter player."""
    measured = {name: method.quieter_sdr for name, method in methods.items() if method.quieter_sdr}
    differences = list(next(iter(measured.values())))
    headings = ("method", *(f"{below} dB quieter" for below in differences))
    rows = [(name, *(_decibel(found[below]) for below in differences)) for name, found in measured.items()]
    return Table("Unequal duets: SDR of the quieter player", headings, tuple(rows))


def _likely_table(methods: Mapping[str, MethodSummary]) -> Table:
    """How well a method knows how good its stems are."""
    headings = (
        "method",
        "stems",
        "rank correlation with SDR",
        "with SI-SDR",
        "mean error, dB",
        "warned of",
        f"SI-SDR below {POOR_DB:g} dB",
    )
    rows = [
        (
            name,
            str(likely.stems),
            _share(likely.rank_correlation_sdr),
            _share(likely.rank_correlation_si_sdr),
            _decibel(likely.mean_error_db),
            str(likely.warned),
            str(likely.poor_of_warned),
        )
        for name, method in methods.items()
        if (likely := method.likely_sdr) is not None
    ]
    return Table("Likely SDR", headings, tuple(rows))


def _stem_table(results: Sequence[DuetResult]) -> Table:
    """The likely SDR of each stem beside the true ones, as placed, of the methods that say what they expect."""
    methods = [name for name, method in results[0].methods.items() if method.likely_sdr is not None]
    headings = ("stem", *(f"{name} {what}" for name in methods for what in ("likely SDR", "SI-SDR", "SDR")))
    rows = []
    for result in results:
        for side, where in enumerate(SIDES):
            cells = [f"{result.name}, {where}"]
            for name in methods:
                method = result.methods[name]
                cells.append(_decibel(method.likely_sdr[side] if method.likely_sdr else None))
                true = (method.scores.si_sdr_as_placed, method.scores.sdr_as_placed) if method.scores else (None, None)
                cells += [_decibel(pair[side] if pair else None) for pair in true]
            rows.append(tuple(cells))
    return Table("Stems", headings, tuple(rows))


def _duet_table(evaluation: Evaluation) -> Table:
    methods = list(evaluation.summary.methods)
    looked = any(result.seen is not None for result in evaluation.results)
    headings = (
        "duet",
        *(("seen",) if looked else ()),
        *_grouped(methods, (*_RATIOS, "as placed", "order")),
        "ceiling",
        "floor",
    )
    rows = []
    for result in evaluation.results:
        cells = [result.name]
        if looked:
            cells.append(_seen(result))
        for name in methods:
            scores = result.methods[name].scores
            if scores is None:
                cells += ["silent", *(_NONE for _ in _RATIOS), "no"]
                continue
            pairs = (scores.sdr, scores.sir, scores.sar, scores.si_sdr, scores.sdr_as_placed)
            cells += [_decibel(mean_of_sides(pair)) for pair in pairs]
            cells.append("yes" if scores.in_order else "no")
        cells += [_decibel(mean_of_sides(result.ceiling)), _decibel(mean_of_sides(result.floor))]
        rows.append(tuple(cells))
    return Table("Duets", headings, tuple(rows))


def _seen(result: DuetResult) -> str:
    """Who was seen: the names, where they are not the true ones."""
    seen = result.seen or {}
    names = _names(seen)
    return "correct" if names == result.truth else " | ".join(names)


def _names(seen: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(seen[side]["instrument"]) for side in SIDES)


def _grouped(methods: Sequence[str] | Mapping[str, Any], headings: Sequence[str]) -> list[str]:
    """The headings once for each method, which is named where there are several."""
    return [heading if len(methods) == 1 else f"{name} {heading}" for name in methods for heading in headings]


def _ratios(means: Means) -> tuple[str, ...]:
    return tuple(_decibel(value) for value in (means.sdr, means.sir, means.sar, means.si_sdr))


def _decibel(value: float | None) -> str:
    return _NONE if value is None else f"{value:z.2f}"


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _duet_document(result: DuetResult) -> dict[str, Any]:
    def sides(pair: Sequence[Any] | None) -> dict[str, Any] | None:
        return None if pair is None else dict(zip(SIDES, pair, strict=True))

    methods = {}
    for name, method in result.methods.items():
        scores = None if method.scores is None else method.scores.as_dict()
        if scores is not None:
            scores = {key: value if isinstance(value, bool) else sides(value) for key, value in scores.items()}
        methods[name] = {
            "labels": sides(method.labels),
            "scores": scores,
            "likely_sdr": sides(method.likely_sdr),
            "quieter_sdr": {below: sides(pair) for below, pair in method.quieter_sdr.items()},
        }
    return {
        "name": result.name,
        "truth": sides(result.truth),
        "seen": result.seen,
        "methods": methods,
        "ceiling_sdr": sides(result.ceiling),
        "floor_sdr": sides(result.floor),
    }


def _finite(value: Any) -> Any:
    """The same with floats rounded, and None for those that JSON has no word for."""
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
