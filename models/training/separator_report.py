"""The report of a training run of the learned separator: what it was learnt from, and its curve."""

from __future__ import annotations

from typing import Any

from models.training.page import Code, Heading, Page, Paragraph, Table
from models.training.pictures import draw_gain, spoken
from models.training.refining import Point
from models.training.report import picture, sources_table, versions_table


def separator_report(record: dict[str, Any], curve: list[Point]) -> Page:
    """Return the report: `record` is the provenance record of the run, `curve` its points in order."""
    parameters = record["parameters"]
    last = curve[-1]
    sheet = draw_gain(curve)
    return Page(
        f"Training report of the learned separator, {record['date']}",
        (
            Paragraph(
                f"Seed {parameters['seed']}: {parameters['clips']:,} clips of {parameters['clip_seconds']:g} s "
                f"({record['hours_of_clips']:g} hours) seen in {parameters['steps']:,} steps of {parameters['batch']}. "
                f"It lowers guided NMF's error by {last.held_out_db:.2f} dB on held-out clips ({record['split']}), "
                f"by {last.trained_db:.2f} dB on what it learnt from."
            ),
            *_kept(record),
            *_origin(record),
            Code(record["command"]),
            Table(
                "Parameters",
                ("parameter", "value"),
                tuple((name.replace("_", " "), str(value)) for name, value in sorted(parameters.items())),
            ),
            Heading("Sources"),
            sources_table(record["sources"]),
            Table(
                "Solos learnt from, by origin",
                ("instrument", "solos"),
                tuple(
                    (spoken(name), ", ".join(f"{origin} {count}" for origin, count in origins.items()))
                    for name, origins in record["classes"].items()
                ),
            ),
            Heading("Curve"),
            picture(
                "separator-curve",
                sheet,
                "Curves of the gain over guided NMF on clips learnt from and held out, over the steps of training.",
                "Gain over guided NMF's error, in dB, on the clips learnt from (thin) and on those held out (thick).",
            ),
            Table(
                "The curve in numbers",
                ("step", "learnt from, dB", "held out, dB"),
                tuple((f"{p.step:,}", f"{p.trained_db:.2f}", f"{p.held_out_db:.2f}") for p in curve),
            ),
            Heading("Made with"),
            versions_table(record),
        ),
    )


def _kept(record: dict[str, Any]) -> tuple[Paragraph, ...]:
    """How what is kept differs from where the steps ended."""
    share = record["parameters"]["kept_of_start"]
    if not share:
        return ()
    return (
        Paragraph(
            f"What is kept are weights {share:.0%} of the way back to those that it began with, whose gain is "
            f"{record['held_out_db']:.2f} dB on held-out clips: they err less on sounds unlike those learnt from."
        ),
    )


def _origin(record: dict[str, Any]) -> tuple[Paragraph | Code, ...]:
    """The networks that this one went on from, the first of them first."""
    parents = []
    while (parent := record.get("started_from")) is not None:
        parents.append(parent)
        record = parent["provenance"]
    told: list[Paragraph | Code] = []
    for parent in reversed(parents):
        record = parent["provenance"]
        gain_db = record.get("held_out_db", record["curve"][-1]["held_out_db"])
        first = "From there one" if told else "First came a network"
        told += [
            Paragraph(f"{first} (sha256 {parent['sha256'][:16]}) whose gain was {gain_db:.2f} dB held out:"),
            Code(record["command"]),
        ]
    return (*told, Paragraph("From there this one:")) if told else ()
