"""``duetto evaluate``: labels, stems and scores on a test set in the report's layout."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.commands.method import method
from app.console import console
from app.methods import AUTO, LABEL_RULES, Kind
from app.plugins import names
from models.errors import ModelsError
from models.evaluation.errors import EvaluationError
from worker.errors import JobFailure
from worker.media.limits import MediaLimits

if TYPE_CHECKING:
    from models.evaluation.duets import DuetResult
    from models.evaluation.layout import Duet
    from models.evaluation.report import Evaluation
    from models.separators import AnySeparator
    from models.taggers import Tagger

HELP = "Measure labels and stems on a set of duets whose true stems are known."
ERRORS = (ModelsError,)

DEFAULT_OUTPUT = Path("evaluation")
KEPT = "kept"
TRUE = "true"
# What scores and labels depend on; training does not change them.
_CODE = ("models", "worker/media")
_PACKAGES = ("duetto", "numpy", "scipy", "torch")
_MOST_UNEQUAL_DB = 60.0
_PIPE_COLUMNS = 240  # of text, where the output is no terminal that would say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "directory", type=Path, metavar="DIR",
        help="the test set: result_json/gt.json, gt_audio/, testimage/ or testvideo/",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR",
        help="folder for stems, evaluation.json and evaluation.md (default: ./%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--labels", choices=(TRUE, *LABEL_RULES), default=AUTO,
        help="who plays: the truth, or what is found by a label rule: fused (picture and sound), report (halves of the "
        "frame), auto (fused, if the tagger can; the default)",
    )  # fmt: skip
    parser.add_argument(
        "--separator", nargs="+", type=method(Kind.SEPARATOR), default=["auto"], metavar="NAME",
        help=f"methods to compare: {', '.join(names(Kind.SEPARATOR))} (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--tagger", type=method(Kind.TAGGER), default="auto", metavar="NAME",
        help=f"what looks at the pictures: {', '.join(names(Kind.TAGGER))} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=_positive, default=os.cpu_count() or 1, metavar="N",
        help="processes, one thread each (default: the machine's cores); results are the same with any number",
    )  # fmt: skip
    parser.add_argument(
        "--unequal-db", nargs="+", type=_quieter_db, default=[], metavar="DB",
        help="separate each duet again, with each player once so many dB quieter than the other (for instance 0 6 12), "
        "and measure that one",
    )  # fmt: skip
    parser.add_argument(
        "--score-only", action="store_true",
        help="measure the stems of result_audio/ and result_json/result.json that are there already",
    )  # fmt: skip
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="with --score-only: where those two folders are (default: DIR)"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns 0. What is finished when it is stopped is taken up by the same command again.

    Raises
    ------
    ModelsError
        If the test set is incomplete or damaged, or bases or weights cannot be had.
    """
    if args.results is not None and not args.score_only:
        raise EvaluationError("--results says where finished stems are; give it together with --score-only")
    if args.unequal_db and args.score_only:
        raise EvaluationError("--unequal-db makes other mixes, of which there are no finished stems; leave it out")
    try:
        evaluation = _scored(args) if args.score_only else _separated(args)
    except JobFailure as failure:
        raise EvaluationError(failure.message) from failure
    except OSError as error:
        raise EvaluationError(
            f"{error.filename or args.output}: {error.strerror or error}. "
            "Check the folder that -o names, and the space on its disk"
        ) from error
    _print(evaluation, args.output)
    return 0


def frames_of(duet: Duet, in_rounds: bool, *, limits: MediaLimits) -> Iterator[NDArray[np.uint8]]:
    """Give the frames of a duet that the report looks at, from its images, else from its video: in order, or in rounds
    that halve the gaps.

    Yields
    ------
    np.ndarray [shape=(height, width, 3), uint8, RGB]

    Raises
    ------
    EvaluationError
        If they cannot be decoded.
    """
    from worker.media.frames import picture_frames, video_frames  # noqa: PLC0415

    try:
        frames = (
            video_frames(duet.video, limits, in_rounds=in_rounds)
            if duet.video and not duet.images
            else picture_frames(duet.images, limits, in_rounds=in_rounds)
        )
        for frame in frames:
            yield frame.image
    except JobFailure as failure:
        raise EvaluationError(f"the pictures of {duet.name} cannot be used. {failure.message}") from failure


def _scored(args: argparse.Namespace) -> Evaluation:
    """Measure stems that are there."""
    from models.evaluation.duets import Scoring  # noqa: PLC0415 - torch only once the arguments are right
    from models.evaluation.layout import read_layout  # noqa: PLC0415
    from models.evaluation.results import read_results  # noqa: PLC0415

    duets = read_layout(args.directory)
    found = read_results(args.results or args.directory, duets)
    work = Scoring(found=found, kept=args.output / KEPT, code=_code())
    results = _run_all(duets, work, args.jobs)
    return _report(args.output, results, {"labels": "of the results"}, labels_found=True)


def _separated(args: argparse.Namespace) -> Evaluation:
    """Label, separate and measure."""
    from app.settings import get_settings  # noqa: PLC0415 - torch only once the arguments are right
    from models.evaluation.duets import Separation  # noqa: PLC0415
    from models.evaluation.layout import read_layout  # noqa: PLC0415
    from models.evaluation.results import write_result  # noqa: PLC0415
    from models.taggers import SceneTagger  # noqa: PLC0415
    from worker.engines import engines_of  # noqa: PLC0415

    looks = args.labels != TRUE
    duets = read_layout(args.directory, needs_labels=not looks, needs_pictures=looks)
    settings = get_settings()
    engines = engines_of(settings)
    # "auto" and what it stands for are one method.
    separators: dict[str, AnySeparator] = {one.name: one for one in map(engines.separator, args.separator)}
    tagger: Tagger | None = engines.tagger(args.tagger) if looks else None
    fused = args.labels != "report" and isinstance(tagger, SceneTagger)
    if args.labels == "fused" and not fused:
        raise EvaluationError(f"the tagger {args.tagger} does not say where it sees what; use --labels report")
    several = len(separators) > 1
    folders = {name: args.output / name if several else args.output for name in separators}
    work = Separation(
        separators=separators,
        folders=folders,
        tagger=tagger,
        listener=engines.listener() if fused else None,
        frames_of=partial(frames_of, limits=MediaLimits.from_settings(settings)),
        kept=args.output / KEPT,
        code=_code(),
        unequal_db=tuple(sorted(set(args.unequal_db))),
    )
    results = _run_all(duets, work, args.jobs)
    for name, folder in folders.items():
        write_result(folder, {one.name: one.methods[name].labels or ("", "") for one in results})
    provenance = {
        "labels": args.labels if not looks else ("fused" if fused else "report"),
        "listener": work.listener.provenance if work.listener else None,
        "tagger": tagger.provenance if tagger else None,
        "separators": {name: separator.parameters for name, separator in separators.items()},
    }
    return _report(args.output, results, provenance, labels_found=looks)


def _run_all(duets: tuple[Duet, ...], work: Any, jobs: int) -> tuple[DuetResult, ...]:
    from models.evaluation.evaluate import evaluate  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    output = console()
    with Progress(*columns, console=output, transient=True, disable=not output.is_terminal) as bar:
        task = bar.add_task("duets", total=len(duets))
        return evaluate(duets, work, jobs=jobs, progress=lambda done, _: bar.update(task, completed=done))


def _report(
    folder: Path, results: tuple[DuetResult, ...], provenance: dict[str, Any], *, labels_found: bool
) -> Evaluation:
    from models.evaluation.report import Evaluation, write_report  # noqa: PLC0415
    from models.evaluation.summary import summarise  # noqa: PLC0415

    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    evaluation = Evaluation(
        results, summarise(results, labels_found=labels_found), provenance | {"versions": versions, "code": _code()}
    )
    write_report(folder, evaluation)
    return evaluation


def _code() -> str:
    from models.evaluation.ledger import code_sha256  # noqa: PLC0415

    root = Path(__file__).resolve().parents[2]
    return code_sha256(*(root / folder for folder in _CODE))


def _print(evaluation: Evaluation, output: Path) -> None:
    from models.evaluation.report import JSON_FILE, MARKDOWN_FILE, tables  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    out = Console(highlight=False) if terminal else Console(highlight=False, width=_PIPE_COLUMNS)
    # The means last, where the eye is when the command ends.
    for table in reversed(tables(evaluation)):
        shown = Table(title=table.title, title_justify="left")
        for number, heading in enumerate(table.headings):
            shown.add_column(escape(heading), justify="right" if number else "left")
        for row in table.rows:
            shown.add_row(*map(escape, row))
        out.print(shown)
    out.print(escape(f"Written: {output / JSON_FILE}, {output / MARKDOWN_FILE}"), soft_wrap=True)


def _quieter_db(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= _MOST_UNEQUAL_DB:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {_MOST_UNEQUAL_DB:g} dB")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value
