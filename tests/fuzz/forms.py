"""Forms as bytes: the multipart body of an upload, and the head of the request that carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from app.instruments import INSTRUMENT_NAMES
from tests.fuzz.case import Fragment, Upload, chance

BOUNDARY: Final = "duetto-fuzz-3f9a"
HOST: Final = "127.0.0.1"
_CRLF: Final = b"\r\n"

# Options that are wrong, each in its own way. Addresses are of this machine: nothing may be sent elsewhere.
_ODD_OPTIONS: Final = (
    ("left", "piano"), ("left", ""), ("left", " Violin "), ("left", "acoustic guitar"), ("left", "v" * 2_000),
    ("left", "\0"), ("left", "ｖｉｏｌｉｎ"), ("left", "violin\r\nX-Evil: 1"), ("left", "'; DROP TABLE jobs;--"),
    ("right", "../../etc/passwd"), ("right", "<script>alert(1)</script>"), ("separator", "magic"),
    ("separator", "NMF"), ("separator", "nmf\n"), ("tagger", "resnet"), ("tagger", "auto "), ("format", "exe"),
    ("format", "../wav"), ("webhook_url", "http://127.0.0.1:1/"), ("webhook_url", "file:///etc/passwd"),
    ("webhook_url", "http://[::1]:6379/"), ("webhook_url", "http://localhost/"),
    ("webhook_url", "gopher://127.0.0.1/"), ("webhook_url", "https://" + "a" * 900), ("bits", "0"), ("bits", "1e9"),
    ("unknown", "x"), ("", "x"), ("id", "0" * 32), ("__proto__", "1"),
)  # fmt: skip
_FILE_NAMES: Final = (
    "../../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "a\0b.mp4", "\u202e4pm.exe", "名前.mp4",
    "n" * 3_000 + ".mp4", "", ".", "..", "con", "-rf", "a;b.mp4", "$(id).mp4", "%00.mp4", "a\tb.mp4", "🎻" * 40,
    "a\\\"b",
)  # fmt: skip


def options_of(rng: Random, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the options of a case: mostly two names, so that no picture need be looked at; sometimes odd ones."""
    if given is not None:
        return dict(given)
    left, right = rng.choices(INSTRUMENT_NAMES, k=2)
    options = {"left": left, "right": right}
    if chance(rng, 0.2):
        options["separator"] = rng.choice(("auto", "nmf", "report"))
    if chance(rng, 0.04):
        del options[rng.choice(("left", "right"))]
    if chance(rng, 0.06):
        name, value = rng.choice(_ODD_OPTIONS)
        options[name] = value
    return options


def odd_name(rng: Random) -> str:
    """Return a file name as no person would give."""
    return rng.choice(_FILE_NAMES)


def field_part(name: str, value: str | bytes) -> bytes:
    """Return a field of the form, headers included."""
    content = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return part(f'form-data; name="{name}"', content)


def file_part(upload: Upload) -> bytes:
    """Return a file of the form, headers included."""
    name = upload.filename.replace("\\", "\\\\").replace('"', '\\"')
    return part(f'form-data; name="{upload.field}"; filename="{name}"', upload.content)


def part(disposition: str, content: bytes, *headers: bytes) -> bytes:
    """Return a part without its boundary."""
    head = b"Content-Disposition: " + disposition.encode("utf-8", "surrogatepass")
    return _CRLF.join((head, *headers, b"", content))


def form(parts: Sequence[bytes], boundary: str = BOUNDARY) -> bytes:
    """Return the parts as a multipart body."""
    mark = b"--" + boundary.encode()
    return b"".join(mark + _CRLF + content + _CRLF for content in parts) + mark + b"--" + _CRLF


def head(
    *lines: str | bytes,
    path: str = "/v1/jobs",
    method: str = "POST",
    version: str = "1.1",
    content_type: str | None = f"multipart/form-data; boundary={BOUNDARY}",
) -> bytes:
    """Return the head of a request; `lines` are further header fields."""
    first = f"{method} {path} HTTP/{version}".encode()
    kinds = [] if content_type is None else [f"Content-Type: {content_type}"]
    fields = (f"Host: {HOST}", "Connection: close", *kinds, *lines)
    encoded = (line if isinstance(line, bytes) else line.encode("latin-1", "replace") for line in fields)
    return _CRLF.join((first, *encoded, b"", b""))


def request(body: bytes, *lines: str | bytes, content_type: str | None = None) -> tuple[Fragment, ...]:
    """Return a whole and honest request with this body."""
    kind = content_type or f"multipart/form-data; boundary={BOUNDARY}"
    return (Fragment(head(f"Content-Length: {len(body)}", *lines, content_type=kind)), Fragment(body))


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body."""
    return f"{len(data):x}".encode() + _CRLF + data + _CRLF
