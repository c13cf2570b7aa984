"""``duetto doctor``: looks at everything that Duetto needs and says what is wrong with it."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from app.commands.serve import settings_from
from app.console import console
from app.doctor.broker import check_broker, with_running_broker
from app.doctor.configuration import check_api, check_settings
from app.doctor.finding import Finding, Findings, Level, problem
from app.doctor.storage import check_storage
from app.logs.secrets import secret_values, without_secrets
from app.settings import Settings
from app.version import duetto_version

HELP = "Look at broker, storage, models, media, workers and settings, and say what is wrong and what to do."

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options. What `duetto serve` is given on its command line, doctor is to be given too."""
    parser.add_argument("--host", help="address that it listens on (default: DUETTO_HOST or 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port that it listens on (default: DUETTO_PORT or 8000)")
    parser.add_argument("--workers", type=int, metavar="N", help="jobs at a time (default: DUETTO_WORKERS or 1)")
    parser.add_argument("--data", type=Path, metavar="DIR", dest="data_dir", help="folder for uploads and stems")
    parser.add_argument("--redis-url", metavar="URL", help="Redis to look at (default: the one that runs, if any)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a list")


def run(args: argparse.Namespace) -> int:
    """Look and tell. Returns 1 if there is a problem, else 0.

    Raises
    ------
    ConfigurationError
        If a setting cannot be read at all.
    """
    settings = with_running_broker(settings_from(args))
    secrets = secret_values(settings)
    findings = [
        finding._replace(text=without_secrets(finding.text, secrets))
        for check in _checks()
        for finding in _examined(check, settings)
    ]
    if args.json:
        print(json.dumps(_document(findings), indent=1, ensure_ascii=False))
    else:
        _print_list(findings)
    return 1 if any(finding.level is Level.PROBLEM for finding in findings) else 0


def _checks() -> Sequence[Callable[[Settings], Findings]]:
    # Imported here: they load torch and FFmpeg, which takes seconds, and may be what does not work.
    def check_models(settings: Settings) -> Findings:
        from worker.doctor.models import check_models as check  # noqa: PLC0415

        return check(settings)

    def check_plugins(settings: Settings) -> Findings:
        from worker.doctor.plugins import check_plugins as check  # noqa: PLC0415

        return check(settings)

    def check_media(settings: Settings) -> Findings:
        from worker.doctor.media import check_media as check  # noqa: PLC0415

        return check(settings)

    def check_device(settings: Settings) -> Findings:
        from worker.doctor.device import check_device as check  # noqa: PLC0415

        return check(settings)

    return (
        check_settings, check_api, check_broker, check_storage, check_models, check_device, check_plugins, check_media,
    )  # fmt: skip


def _examined(check: Callable[[Settings], Findings], settings: Settings) -> Findings:
    """Yield what a check finds; one that fails itself must not hide what the others find."""
    try:
        yield from check(settings)
    except Exception as error:  # noqa: BLE001
        part = check.__name__.removeprefix("check_")
        yield problem(part, f"could not be looked at ({type(error).__name__}: {error})")


def _document(findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "version": duetto_version(),
        "healthy": all(finding.level is not Level.PROBLEM for finding in findings),
        "findings": [finding._asdict() for finding in findings],
    }


def _print_list(findings: Sequence[Finding]) -> None:
    output = console(sys.stdout)
    output.print(f"Duetto {duetto_version()} on {platform.node()}, Python {platform.python_version()}\n", markup=False)
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        table.add_row(Text(finding.level, style=_COLOURS[finding.level]), Text(finding.part), Text(finding.text))
    output.print(table)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    problems, warnings = counts[Level.PROBLEM], counts[Level.WARNING]
    output.print(
        f"\n{problems} {'problem' if problems == 1 else 'problems'}, "
        f"{warnings} {'warning' if warnings == 1 else 'warnings'}, {counts[Level.OK]} ok.",
        markup=False,
    )
