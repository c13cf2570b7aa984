"""A page of headings, paragraphs, tables and pictures, written as one HTML file or as Markdown with PNG files.

Text is plain: what HTML or Markdown would read as markup is escaped. The same page gives the same bytes.
"""

from __future__ import annotations

import base64
import html
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.errors import TrainingDataError

SUFFIXES = (".html", ".md")

_STYLE = """
:root { color-scheme: light; }
body { font: 1rem/1.5 system-ui, sans-serif; color: #232634; background: #fafaf8; max-width: 72rem;
  margin: 0 auto; padding: 1rem 1.25rem 4rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
p { max-width: 46rem; } pre { white-space: pre-wrap; background: #eef0f2; padding: .75rem; }
.wide { overflow-x: auto; } .wide:focus { outline: 2px solid #1d5f8a; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .95rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #d5d8dc; text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid #232634; } .number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; border: 1px solid #d5d8dc; }
figcaption { max-width: 46rem; }
"""


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Something to type, kept as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column heads; the first cell of a row is its head. Columns of numbers are set to the right."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG; `name` is its file's name without the suffix, `alt` says in words what it shows."""

    name: str
    png: bytes
    width: int
    height: int
    alt: str
    caption: str


Block = Heading | Paragraph | Code | Table | Picture


@dataclass(frozen=True, slots=True)
class Page:
    """A title and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


def check_page_path(path: Path) -> None:
    """Refuse a path that says no form, before anything long begins.

    Raises
    ------
    TrainingDataError
        If its suffix is neither ``.html`` nor ``.md``.
    """
    if path.suffix not in SUFFIXES:
        raise TrainingDataError(
            f"a report cannot be written as {path.name!r}: call it something.html (one file with its pictures "
            "inside) or something.md (pictures as PNG files beside it)"
        )


def write_page(path: Path, page: Page) -> None:
    """Write `page` in the form that the suffix of `path` says; the page itself comes last, whole or not at all.

    ``.html`` is one file with its pictures inside; ``.md`` has them as PNG files in its folder.

    Raises
    ------
    TrainingDataError
        If the suffix is neither of the two.
    """
    check_page_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".md":
        for block in page.blocks:
            if isinstance(block, Picture):
                _write(path.with_name(f"{block.name}.png"), block.png)
        _write(path, to_markdown(page).encode())
    else:
        _write(path, to_html(page).encode())


def to_html(page: Page) -> str:
    """Return the page as one HTML document that needs nothing else."""
    body = "\n".join(_html(block) for block in page.blocks)
    title = html.escape(page.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def to_markdown(page: Page) -> str:
    """Return the page as Markdown whose pictures are files beside it."""
    return "\n\n".join([f"# {_plain(page.title)}", *(_markdown(block) for block in page.blocks)]) + "\n"


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{html.escape(text)}</h2>"
        case Paragraph(text):
            return f"<p>{html.escape(text)}</p>"
        case Code(text):
            return f"<pre><code>{html.escape(text)}</code></pre>"
        case Table():
            return _html_table(block)
        case Picture():
            data = base64.b64encode(block.png).decode("ascii")
            return (
                f'<figure><img src="data:image/png;base64,{data}" width="{block.width}" height="{block.height}" '
                f'alt="{html.escape(block.alt)}"><figcaption>{html.escape(block.caption)}</figcaption></figure>'
            )


def _html_table(table: Table) -> str:
    classes = [' class="number"' if right else "" for right in _to_the_right(table)]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(cell)}</th>' for kind, cell in zip(classes, table.head, strict=True)
    )
    rows = []
    for first, *rest in table.rows:
        cells = "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(classes[1:], rest, strict=True))
        rows.append(f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>')
    caption = html.escape(table.caption)
    # Focusable, so that a table wider than the window can be scrolled from the keyboard.
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{caption}"><table><caption>{caption}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_plain(text)}"
        case Paragraph(text):
            return _plain(text)
        case Code(text):
            return f"```sh\n{text}\n```"
        case Table():
            rule = ["---:" if right else "---" for right in _to_the_right(block)]
            lines = [
                [_plain(cell) for cell in block.head],
                rule,
                *([_plain(cell) for cell in row] for row in block.rows),
            ]
            return f"**{_plain(block.caption)}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        case Picture():
            return f"![{_plain(block.alt)}]({block.name}.png)\n\n{_plain(block.caption)}"


def _to_the_right(table: Table) -> list[bool]:
    """Which columns hold numbers (or nothing) alone; never the first, the rows' heads."""
    columns = zip(*table.rows, strict=True) if table.rows else ((),) * len(table.head)
    numbers = [all(re.fullmatch(r"[-+]?[\d,.]*%?", cell) for cell in column) for column in columns]
    return [False, *numbers[1:]]


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
