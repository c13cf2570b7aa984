"""Write what the code says into the docs: ``python docs/generate.py``. A test holds the two equal.

docs/configuration.md from the settings class; in docs/troubleshooting.md the table of the ways in which a job fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from app.errors import StorageFull
from app.settings import Settings
from models.errors import DeviceUnavailable, PlayersAlike
from worker import failures
from worker.errors import Canceled, JobFailure, JobGone

DOCS = Path(__file__).parent
HEAD = """# Configuration

Every setting is an environment variable. `duetto serve`, `duetto separate`, the containers and the workers read the
same ones. This page is generated from `app/settings.py`: edit that, then run `python docs/generate.py`.

| variable | default | what it does |
|---|---|---|
"""
HOMES = {
    "data_dir": "`~/.local/share/duetto`",
    "cache_dir": "`~/.cache/duetto`",
}
FAILURES = "<!-- generated: failures -->\n"
END = "<!-- end -->"


def configuration() -> str:
    """Return the page of all settings."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = HOMES.get(name, "none" if field.default is None else f"`{field.default}`")
        rows.append(f"| `DUETTO_{name.upper()}` | {default} | {field.description} |\n")
    return HEAD + "".join(rows)


def troubleshooting(page: str) -> str:
    """Return the page with its table of failures as the code has them."""
    rows = "".join(
        f"| `{code}` | {'again' if retryable else ''} | {message} |\n" for code, message, retryable in job_failures()
    )
    table = f"| code | | message |\n|---|---|---|\n{rows}"
    before, rest = page.split(FAILURES)
    return f"{before}{FAILURES}\n{table}\n{END}{re.split(END, rest, maxsplit=1)[1]}"


def job_failures() -> Iterator[tuple[str, str, bool]]:
    """Yield code, message and whether to try again, of every way in which a job fails."""
    for kind in _tree(JobFailure):
        # These two end a job without failing it; the base is never raised. Elsewhere, tests make kinds of their own.
        if kind not in (JobFailure, Canceled, JobGone) and kind.__module__ == JobFailure.__module__:
            yield kind.code, kind.default_message, kind.retryable
    yield "players_unclear", "What picture and sound show instead of two players, and: name both instruments ...", False
    yield "not_separable", "The recording cannot be separated: ...", False
    for error in (PlayersAlike("..."), StorageFull(""), DeviceUnavailable()):
        found = failures.public_error(error)
        yield found.code, found.message, found.retryable
    yield "storage_unavailable", "What is wrong with the server's storage ...", True
    yield failures.INTERNAL


def _tree(kind: type[JobFailure]) -> Iterator[type[JobFailure]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


if __name__ == "__main__":
    (DOCS / "configuration.md").write_text(configuration(), encoding="utf-8")
    page = DOCS / "troubleshooting.md"
    page.write_text(troubleshooting(page.read_text(encoding="utf-8")), encoding="utf-8")
