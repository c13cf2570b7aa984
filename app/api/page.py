"""The web pages, ``/`` and ``/docs``, with headers that let each run its own script and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib import resources
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()

_SCRIPT: Final = re.compile(r"<script\b[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


@router.get("/", include_in_schema=False, response_class=HTMLResponse)
def page() -> HTMLResponse:
    """The page to post a duet and listen to its stems."""
    return _page("index.html")


@router.get("/docs", include_in_schema=False, response_class=HTMLResponse)
def docs() -> HTMLResponse:
    """The page that shows openapi.json to people."""
    return _page("docs.html")


def content_security_policy(html: str) -> str:
    """Return the policy under which the scripts inside `html` run (known by their hash) and no others."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(html))
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def _page(name: str) -> HTMLResponse:
    html = _load_page(name)
    return HTMLResponse(
        html,
        headers={
            "Content-Security-Policy": content_security_policy(html),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-cache",
        },
    )


@lru_cache(maxsize=2)
def _load_page(name: str) -> str:
    return resources.files("app").joinpath("page", name).read_text(encoding="utf-8")
