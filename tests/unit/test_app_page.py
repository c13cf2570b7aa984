"""The page as it is served: whole, from here alone, in few bytes, and able to run nothing but its own scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import httpx
import pytest

PAGE = Path(__file__).parents[2] / "app" / "page"
MOST_BYTES = 400_000
SCRIPTS = sorted(path.name for path in PAGE.glob("*.js"))


def policy_of(response: httpx.Response) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_may_run_our_own_scripts_only(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = policy_of(response)
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    inline = re.findall(r"<script\b[^>]*>(.+?)</script>", response.text, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in inline]
    assert policy["script-src"].split() == ["'self'", *hashes]
    assert "http" not in json.dumps(policy)


def test_the_page_has_no_script_inside(client: httpx.Client) -> None:
    response = client.get("/")
    assert re.findall(r"<script\b[^>]*>(.*?)</script>", response.text, re.DOTALL) == [""]
    assert policy_of(response)["script-src"] == "'self'"


@pytest.mark.parametrize("path", ["/", "/docs", *(f"/page/{name}" for name in SCRIPTS)])
def test_nothing_comes_from_elsewhere_and_text_never_becomes_markup(client: httpx.Client, path: str) -> None:
    text = client.get(path).text
    namespaces = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml")
    addresses = [found for found in re.findall(r"https?://[^\"'\s)]+", text) if not found.startswith(namespaces)]
    assert addresses == []
    assert re.findall(r"(?:src|href)=\"//|\burl\(|@import", text) == []
    assert not re.search(r"<[^>]+\son[a-z]+=|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


def test_its_first_look_waits_for_nothing_else(client: httpx.Client) -> None:
    text = client.get("/").text
    assert 'rel="stylesheet"' not in text
    assert (PAGE / "style.css").read_text(encoding="utf-8") in text
    # Modules wait for the page, not the page for them.
    assert re.findall(r"<script\b[^>]*>", text) == ['<script type="module" src="page/main.js">']


def test_all_that_it_names_is_there_and_it_weighs_little(client: httpx.Client) -> None:
    page = client.get("/")
    total = len(page.content)
    todo, seen = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text), set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        script = client.get(f"/{name}")
        assert (script.status_code, script.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8"), name
        total += len(script.content)
        folder = name.rpartition("/")[0]
        todo += [
            f"{folder}/{found}" for found in re.findall(r"""(?:from|import\()\s*["']\./([^"']+)["']""", script.text)
        ]
    assert {f"page/{name}" for name in SCRIPTS} | {"page/vendor/wavesurfer.js"} == seen
    assert total < MOST_BYTES


@pytest.mark.parametrize("path", ["/", "/docs", "/page/main.js", "/page/vendor/wavesurfer.js"])
def test_what_has_not_changed_is_not_sent_again(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    # The policy of an answer from the cache is that of the last one.
    assert again.headers["Content-Security-Policy"] == first.headers["Content-Security-Policy"]
    assert client.get(path, headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/none.js",
        "/page/index.html",
        "/page/../__init__.py",
        "/page/%2e%2e/main.py",
        "/page//etc/passwd",
    ],
)
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_licences_come_along(client: httpx.Client) -> None:
    answer = client.get("/page/vendor/wavesurfer.LICENSE.txt")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("BSD 3-Clause License")
