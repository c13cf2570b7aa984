"""What the documents promise about the code holds."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from app.problems import problem_kinds

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])


LINK = re.compile(r"\]\(([^)\s]+)\)|\bsrc(?:set)?=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    return generate


def test_generated_pages_are_what_the_code_says() -> None:
    generate = generator()
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == generate.configuration(), "run `python docs/generate.py`"
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert page == generate.troubleshooting(page), "run `python docs/generate.py`"


def test_every_way_to_fail_has_its_help() -> None:
    rows = re.findall(
        r"^\| (\d+) \| `([a-z_]+)` \| .+ \|$", (ROOT / "docs" / "troubleshooting.md").read_text("utf-8"), re.MULTILINE
    )
    assert [(int(status), code) for status, code in rows] == [(kind.status, kind.code) for kind in problem_kinds()]
    told = {code for code, _, _ in generator().job_failures()}
    # What is not raised as a class of its own.
    written = set(re.findall(r'\("([a-z_]+)", ', (ROOT / "worker" / "failures.py").read_text("utf-8")))
    assert written - told == set()
    reference = (ROOT / "docs" / "api.md").read_text("utf-8")
    assert [code for code in told if f"`{code}`" not in reference] == []


def links_in(text: str) -> list[str]:
    """Where the links and pictures of a page lead."""
    return [one or other for one, other in LINK.findall(text)]


def anchors(document: Path) -> set[str]:
    """What links may name in a page, as code hosts make it of headings."""
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    found = set()
    for heading in HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    missing = []
    for link in links_in(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    assert missing == []


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(links_in((ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert pages - listed - {"index.md"} == set()


def test_pictures_say_what_they_show() -> None:
    for document in DOCUMENTS:
        for alt, link in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
            assert len(alt) > 20, f"{document.name}: {link}"


def test_every_dependency_has_its_reason_and_its_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [
        re.split(r"[><=\[ ]", requirement)[0]
        for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    ]
    reasons = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    assert [name for name in names if f"| `{name}` |" not in reasons] == []
    assert [name for name in names if f"\n{name.lower().replace('_', '-')}==" not in f"\n{pins}"] == []
