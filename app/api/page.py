"""The web pages, ``/`` and ``/docs``, and the page's own files below ``/page/``. Nothing comes from elsewhere.

Styles go out inside the page, so that its first look waits for nothing else; scripts are modules, which wait for it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import APIRouter, Request, Response, status
from starlette.exceptions import HTTPException

router = APIRouter()

_SCRIPT: Final = re.compile(r"<script\b[^>]*>(.+?)</script>", re.DOTALL | re.IGNORECASE)
_STYLESHEET: Final = re.compile(r'<link rel="stylesheet" href="page/([a-z/]+\.css)">')
_MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    headers: Mapping[str, str]


@router.get("/", include_in_schema=False)
def page(request: Request) -> Response:
    """The page to post a duet and listen to its stems."""
    return _answer(request, _page("index.html"))


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> Response:
    """The page that shows openapi.json to people."""
    return _answer(request, _page("docs.html"))


@router.get("/page/{name:path}", include_in_schema=False)
def static(request: Request, name: str) -> Response:
    """A script of the page, or the licence of one."""
    found = _files().get(name)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return _answer(request, found)


def content_security_policy(html: str) -> str:
    """Return the policy under which the page runs our own files, the scripts inside `html` (by hash) and no others.

    Styles may be inline: wavesurfer.js brings one for its shadow tree, and they run nothing.
    """
    digests = (hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(html))
    scripts = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def _answer(request: Request, found: _File) -> Response:
    if request.headers.get("if-none-match", "").removeprefix("W/") == found.headers["ETag"]:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=found.headers)
    return Response(found.content, headers=found.headers, media_type=found.media_type)


@lru_cache(maxsize=2)
def _page(name: str) -> _File:
    folder = _folder()
    html = _STYLESHEET.sub(
        lambda link: f"<style>\n{folder.joinpath(link[1]).read_text(encoding='utf-8')}</style>",
        folder.joinpath(name).read_text(encoding="utf-8"),
    )
    policy = {
        "Content-Security-Policy": content_security_policy(html),
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    return _file(html.encode(), "text/html; charset=utf-8", policy)


@lru_cache(maxsize=1)
def _files() -> Mapping[str, _File]:
    """Return all that is served below ``/page/``, by name: no path of a request ever becomes one of the disk."""
    return {name: _file(path.read_bytes(), _MEDIA_TYPES[name[name.rindex(".") :]]) for name, path in _walk(_folder())}


def _walk(folder: Traversable, below: str = "") -> Iterator[tuple[str, Traversable]]:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path, f"{below}{path.name}/")
        elif path.name.endswith(tuple(_MEDIA_TYPES)):
            yield below + path.name, path


def _file(content: bytes, media_type: str, more: Mapping[str, str] | None = None) -> _File:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    # Asked for each time, sent only when it differs: a new version of the page is never mixed with an old one.
    return _File(content, media_type, {"ETag": etag, "Cache-Control": "no-cache", **(more or {})})


def _folder() -> Traversable:
    return resources.files("app").joinpath("page")
