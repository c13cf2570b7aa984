"""What the commands show at the terminal: live progress, and a table of who plays what."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table

from app.stem_names import SIDES

STAGE_TEXT = {
    "upload": "uploading",
    "paused": "waiting for the server",
    "queued": "waiting in the queue",
    "probe": "reading the file",
    "tag": "looking who plays what",
    "separate": "separating the sound",
    "encode": "writing the stems",
    "succeeded": "separated",
    "download": "fetching the stems",
}
SOURCE_TEXT = {"tagger": "seen", "request": "named by you"}
NUMBERS = frozenset({"Probability", "Likely SDR"})


def console(file: TextIO | None = None) -> Console:
    """Return the console for progress and tables: stderr, unless `file` is given; stdout stays free for data."""
    return Console(file=file or sys.stderr, highlight=False)


def seconds_text(seconds: float) -> str:
    """Return a duration as people say it: ``45 s``, ``3 min 20 s``, ``1 h 5 min``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class ProgressDisplay:
    """One bar that follows a job through upload, queue and stages. Use as a context manager.

    Where the output is no terminal (a log, a pipe), each new stage is one line instead.
    """

    def __init__(self, output: Console | None = None) -> None:
        self._console = output or console()
        self._live = self._console.is_terminal
        self._last = ""
        self._task: TaskID | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            transient=True,
        )

    def __enter__(self) -> ProgressDisplay:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()

    def stage(
        self,
        stage: str,
        fraction: float,
        *,
        eta_s: float | None = None,
        queue_position: int | None = None,
        note: str = "",
    ) -> None:
        """Show a stage and how far it or the whole job is (0 to 1), with what else is known."""
        if eta_s is not None:
            note = f"about {seconds_text(eta_s)} left"
        elif queue_position:
            note = f"{queue_position} ahead"
        text = STAGE_TEXT.get(stage, stage)
        if note and stage == "paused":  # a sentence, for which a bar has no room
            if not self._live:
                text += f": {note}"
            elif note != self._last:
                self._console.print(note, markup=False, soft_wrap=True)
                self._last = note
            note = ""
        self._show(text, fraction, note)

    def _show(self, text: str, fraction: float, note: str) -> None:
        fraction = min(1.0, max(0.0, fraction))
        if not self._live:
            if text != self._last:
                self._console.print(f"{fraction:4.0%}  {text}", markup=False, soft_wrap=True)
            self._last = text
            return
        if self._task is None:
            self._task = self._progress.add_task(text, total=1.0, note=note)
        self._progress.update(self._task, description=text, completed=fraction, note=note)


def summary_table(result: Mapping[str, Any], files: Mapping[str, Path] | None = None) -> Table:
    """Return a table of the result document: side, instrument, probability, where the name is from, likely SDR (where
    the separator tells), file.

    Parameters
    ----------
    result : mapping
        The result document; its ``labels`` and ``quality`` are shown.
    files : mapping or None
        The stem's file by side (``left``, ``right``).
    """
    table = Table()
    labels, quality = result.get("labels", {}), result.get("quality")
    shown = (*(("Likely SDR",) if quality else ()), *(("File",) if files else ()))
    for heading in ("Side", "Instrument", "Probability", "Source", *shown):
        table.add_column(heading, justify="right" if heading in NUMBERS else "left", overflow="fold")
    for side in SIDES:
        label = labels.get(side, {})
        probability = label.get("probability")
        source = str(label.get("source", ""))
        row = [
            side,
            escape(str(label.get("instrument", "?")).replace("_", " ")),
            "" if probability is None else f"{probability:.2f}",
            escape(SOURCE_TEXT.get(source, source)),
            *((f"{quality[side]['likely_sdr_db']:.1f} dB",) if quality else ()),
        ]
        table.add_row(*row, *((escape(str(files.get(side, ""))),) if files else ()))
    return table


def print_summary(
    result: Mapping[str, Any], files: Mapping[str, Path] | None = None, *, output: Console | None = None
) -> None:
    """Print :func:`summary_table`, which networks made it, and every warning of the result."""
    target = output or console(sys.stdout)
    target.print(summary_table(result, files))
    made_by = [f"{kind}: {result[kind]}" for kind in ("tagger", "separator") if result.get(kind)]
    if made_by:
        target.print(escape(", ".join(made_by)))
    for warning in result.get("warnings") or ():
        text = warning.get("message", warning) if isinstance(warning, Mapping) else warning
        target.print(f"[yellow]Note:[/yellow] {escape(str(text))}")
