"""Hooks of schemathesis for `test_openapi`: what a JSON Schema cannot say of a good request.

A file is of a format, two sides are two, a cursor is one that this server made, and a webhook would go out into
the world. Requests that are meant to be wrong are sent as they are.
"""

from __future__ import annotations

import re
from typing import Any

import requests
import schemathesis
from hypothesis import strategies

from app.api.form import FILE_TYPES
from tests.fuzz import seeds

_FILES = {"video": seeds.videos()["mkv"], "frames": seeds.pictures()["png"], "audio": seeds.sounds()["16-bit wav"]}
_cursors: dict[str, str] = {}

for _types, _files in (("video", seeds.videos()), ("frames", seeds.pictures()), ("audio", seeds.sounds())):
    _contents = strategies.sampled_from([upload.content for upload in _files.values()])
    for _type in map(str.strip, FILE_TYPES[_types].split(",")):
        schemathesis.openapi.media_type(_type, _contents)


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Make a request that is meant to be right so."""
    if case.meta is None or case.meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        return
    if isinstance(case.query, dict) and case.query.get("cursor"):
        case.query["cursor"] = _cursor(str(case.operation.base_url).rstrip("/"), dict(case.headers or {}))
    if (case.method, case.path) == ("POST", "/v1/jobs") and isinstance(case.body, dict):
        case.body = _right(case.body)
    # Otherwise it is judged anew, and schemathesis 4.32 deems every form wrong that holds bytes.
    case._record_starting_state()


def _right(form: dict[str, Any]) -> dict[str, Any]:
    # Which files go together the schema says, but the coverage phase does not look at `dependentSchemas`.
    dropped = {"webhook_url", *(("frames", "audio") if "video" in form else ())}
    if form.keys() & _FILES.keys():
        dropped.add("again")
    right = {name: value for name, value in form.items() if name not in dropped}
    if not str(right.get("again", "-")).strip():
        right["again"] = "0" * 32  # an empty field counts as none, which a schema cannot say
    for name in _FILES.keys() & right.keys():
        right[name] = [_FILES[name].content] if name == "frames" else _FILES[name].content
    return right


def _cursor(url: str, headers: dict[str, Any]) -> str:
    """Return a cursor of this server; it takes two jobs to get one."""
    if url not in _cursors:
        key = {name: value for name, value in headers.items() if re.fullmatch("authorization", name, re.IGNORECASE)}
        for _ in range(2):
            file = {"audio": ("duet.wav", _FILES["audio"].content)}
            names = {"left": "violin", "right": "cello"}
            requests.post(f"{url}/v1/jobs", files=file, data=names, headers=key, timeout=30).raise_for_status()
        page = requests.get(f"{url}/v1/jobs", params={"limit": 1}, headers=key, timeout=30)
        _cursors[url] = page.json()["next_cursor"]
    return _cursors[url]
