"""Requests that break HTTP or the form, rather than the media in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.fuzz import seeds
from tests.fuzz.case import Fragment, Upload
from tests.fuzz.forms import BOUNDARY, chunk, field_part, file_part, form, head, odd_name, part, request

MALFORMED: Final = "400 malformed_body"
# What uvicorn says of what is no HTTP.
NO_HTTP: Final = "400 -"
CHUNKED: Final = "Transfer-Encoding: chunked"
BLOCK: Final = bytes(1 << 16)
OPTION_AS_FILE: Final = 'form-data; name="left"; filename="x"'


@dataclass(frozen=True)
class Request:
    """What a maker of this catalogue returns: see `tests.fuzz.case.Case`."""

    fragments: tuple[Fragment, ...]
    expected: frozenset[str] = frozenset()
    may_hang_up: bool = False


def _sent(fragments: tuple[Fragment, ...], *expected: str, may_hang_up: bool = False) -> Request:
    return Request(fragments, frozenset(expected), may_hang_up)


def _wav() -> Upload:
    return seeds.sounds()["16-bit wav"]


def _good_parts() -> list[bytes]:
    return [field_part("left", "violin"), field_part("right", "cello"), file_part(_wav())]


def _body() -> bytes:
    return form(_good_parts())


def _parts(*more: bytes) -> bytes:
    return form([*_good_parts(), *more])


def _typed(kind: str | None, *expected: str) -> Callable[[Random], Request]:
    def make(rng: Random) -> Request:
        body = _body()
        lines = head(f"Content-Length: {len(body)}", content_type=kind)
        return _sent((Fragment(lines), Fragment(body)), *expected)

    return make


def _plain(
    body: Callable[[], bytes], *expected: str, lines: tuple[str | bytes, ...] = ()
) -> Callable[[Random], Request]:
    return lambda rng: _sent(request(body(), *lines), *expected)


def _lengths(*lines: str | bytes, hang_up: bool = True, expected: tuple[str, ...] = ()) -> Callable[[Random], Request]:
    return lambda rng: _sent((Fragment(head(*lines)), Fragment(_body())), *expected, may_hang_up=hang_up)


def _chunked(*chunks: bytes, expected: tuple[str, ...] = (), hang_up: bool = False) -> Callable[[Random], Request]:
    return lambda rng: _sent(
        (Fragment(head(CHUNKED)), *(Fragment(data) for data in chunks)), *expected, may_hang_up=hang_up
    )


def _good_chunks(*end: bytes, expected: tuple[str, ...] = (), hang_up: bool = False) -> Callable[[Random], Request]:
    def make(rng: Random) -> Request:
        # The body is made late: importing this must not encode media.
        return _chunked(chunk(_body()), *end, expected=expected, hang_up=hang_up)(rng)

    return make


def _endless(rng: Random) -> Request:
    """A file that never ends: refused at the limit, then hung up on."""
    opening = chunk(
        b"--" + BOUNDARY.encode() + b"\r\n" + part('form-data; name="audio"; filename="a.wav"', _wav().content)
    )
    return _sent((Fragment(head(CHUNKED)), Fragment(opening), Fragment(chunk(BLOCK), 0.0, 3_000)), "413 body_too_large")


def _endless_option(rng: Random) -> Request:
    opening = chunk(b"--" + BOUNDARY.encode() + b"\r\n" + part('form-data; name="left"', b"v"))
    return _sent((Fragment(head(CHUNKED)), Fragment(opening), Fragment(chunk(BLOCK), 0.0, 3_000)), "422 unknown_field")


def _endless_preamble(rng: Random) -> Request:
    return _sent(
        (Fragment(head(CHUNKED)), Fragment(chunk(b"\r\n" * 30_000), 0.0, 3_000)), MALFORMED, "413 body_too_large"
    )


def _endless_epilogue(rng: Random) -> Request:
    return _sent(
        (Fragment(head(CHUNKED)), Fragment(chunk(_body())), Fragment(chunk(BLOCK), 0.0, 3_000)),
        MALFORMED, "413 body_too_large",
    )  # fmt: skip


def _endless_parts(rng: Random) -> Request:
    """Empty file inputs, as browsers send them, without end."""
    empty = form([part('form-data; name="video"; filename=""', b"")] * 500)[: -len(BOUNDARY) - 6]
    return _sent((Fragment(head(CHUNKED)), Fragment(chunk(empty), 0.0, 1_500)), MALFORMED)


def _too_much_declared(rng: Random) -> Request:
    return _sent((Fragment(head("Content-Length: 99999999999")), Fragment(_body())), "413 body_too_large")


def _cut_off(rng: Random) -> Request:
    body = _body()
    return _sent(
        (Fragment(head(f"Content-Length: {len(body)}")), Fragment(body[: rng.randrange(len(body))])), may_hang_up=True
    )


def _cut_chunks(rng: Random) -> Request:
    return _sent((Fragment(head(CHUNKED)), Fragment(chunk(_body())[:-40])), may_hang_up=True)


def _slow(rng: Random) -> Request:
    body = _body()
    pieces = [body[at : at + len(body) // 5 + 1] for at in range(0, len(body), len(body) // 5 + 1)]
    lines = Fragment(head(f"Content-Length: {len(body)}"))
    return _sent((lines, *(Fragment(piece, 0.2) for piece in pieces)), "202 succeeded")


def _byte_by_byte(rng: Random) -> Request:
    body = _body()
    chunks = b"".join(chunk(body[i : i + 1]) for i in range(len(body)))
    return _sent((Fragment(head(CHUNKED)), Fragment(chunks + chunk(b""))), "202 succeeded")


def _no_end(rng: Random) -> Request:
    return _sent(request(_body()[: -len(BOUNDARY) - 6]), MALFORMED)


def _nested(rng: Random) -> Request:
    inner = form([file_part(_wav())], "inner")
    nested = part('form-data; name="audio"', inner, b"Content-Type: multipart/mixed; boundary=inner")
    return _sent(request(form([field_part("left", "violin"), field_part("right", "cello"), nested])), "422 not_a_file")


def _base64(rng: Random) -> Request:
    encoded = part('form-data; name="audio"; filename="a.wav"', b"UklGRg==" * 40, b"Content-Transfer-Encoding: base64")
    return _sent(request(form([*_good_parts()[:2], encoded])), "415 unsupported_media")


def _part_header(header: bytes) -> Callable[[Random], Request]:
    return lambda rng: _sent(request(form([*_good_parts()[:2], header + b"\r\n" + file_part(_wav())])))


def _name_of_file(rng: Random) -> Request:
    return _sent(request(form([*_good_parts()[:2], file_part(Upload("audio", odd_name(rng), _wav().content))])))


def _disposition(text: str) -> Callable[[Random], Request]:
    return lambda rng: _sent(request(form([*_good_parts()[:2], part(text, _wav().content)])))


def _with(*lines: str | bytes) -> Callable[[Random], Request]:
    return lambda rng: _sent(request(_body(), *lines))


def _elsewhere(method: str, path: str) -> Callable[[Random], Request]:
    return lambda rng: _sent(
        (Fragment(head(f"Content-Length: {len(_body())}", method=method, path=path)), Fragment(_body()))
    )


def _bare(data: bytes) -> Callable[[Random], Request]:
    return lambda rng: _sent((Fragment(data),), NO_HTTP, may_hang_up=True)


FORM: Final = f"multipart/form-data; boundary={BOUNDARY}"
CATALOGUE: Final[dict[str, Callable[[Random], Request]]] = {
    "a good form": _plain(_body, "202 succeeded"),
    "no content type": _typed(None, MALFORMED),
    "no boundary": _typed("multipart/form-data", MALFORMED),
    "empty boundary": _typed('multipart/form-data; boundary=""', MALFORMED),
    "another boundary": _typed("multipart/form-data; boundary=other", MALFORMED),
    "boundary of 300": _typed(f"multipart/form-data; boundary={'b' * 300}", MALFORMED),
    "boundary with odd letters": _typed('multipart/form-data; boundary="\xff\xfe; \\"', MALFORMED),
    "boundary twice": _typed(f"multipart/form-data; boundary=other; boundary={BOUNDARY}"),
    "boundary in capitals": _typed(f"Multipart/Form-Data; BOUNDARY={BOUNDARY}", "202 succeeded"),
    "boundary, then charset": _typed(f"{FORM}; charset=utf-7", "202 succeeded"),
    "json": _typed("application/json", MALFORMED),
    "urlencoded": _typed("application/x-www-form-urlencoded", MALFORMED),
    "multipart/mixed": _typed(f"multipart/mixed; boundary={BOUNDARY}", MALFORMED),
    "content type of 60 KB": _typed(f"{FORM}; x={'x' * 60_000}"),
    "no body": lambda rng: _sent((Fragment(head("Content-Length: 0")),), MALFORMED),
    "no length": lambda rng: _sent((Fragment(head()),), MALFORMED),
    "length too small": _lengths("Content-Length: 100", expected=(MALFORMED,)),
    "length too large": _lengths("Content-Length: 2000000"),
    "length below zero": _lengths("Content-Length: -5", expected=(NO_HTTP,)),
    "length of no number": _lengths("Content-Length: ten", expected=(NO_HTTP,)),
    "length of too many digits": _lengths("Content-Length: " + "9" * 400),
    "length beyond every limit": _too_much_declared,
    "two lengths": _lengths("Content-Length: 100", "Content-Length: 2000", expected=(NO_HTTP,)),
    "length and chunks": _lengths("Content-Length: 100", CHUNKED),
    "odd transfer coding": _lengths("Transfer-Encoding: gzip, chunked"),
    "chunks": _good_chunks(chunk(b""), expected=("202 succeeded",)),
    "chunk of no number": _chunked(b"xyz\r\nabc\r\n", hang_up=True, expected=(NO_HTTP, MALFORMED)),
    "chunk of 2^64 bytes": _chunked(b"ffffffffffffffff\r\nabc\r\n", hang_up=True),
    "chunk with an extension": _good_chunks(b"0;" + b"x" * 9_000 + b"\r\n\r\n", hang_up=True),
    "chunks, then a trailer": _good_chunks(b"0\r\nX-T: 1\r\n\r\n", hang_up=True),
    "cut off": _cut_off,
    "cut off in a chunk": _cut_chunks,
    "endless file": _endless,
    "endless option": _endless_option,
    "endless preamble": _endless_preamble,
    "endless epilogue": _endless_epilogue,
    "endless empty parts": _endless_parts,
    "slow": _slow,
    "byte by byte": _byte_by_byte,
    "no end": _no_end,
    "form in a form": _nested,
    "base64": _base64,
    "field twice": _plain(lambda: _parts(field_part("left", "flute")), "422 unknown_field"),
    "file twice": _plain(lambda: _parts(file_part(_wav())), "422 conflicting_input"),
    "unknown field": _plain(lambda: _parts(field_part("evil", "1")), "422 unknown_field"),
    "unknown file": _plain(lambda: _parts(file_part(Upload("evil", "a.wav", b"1"))), "422 unknown_field"),
    "again, of no job": _plain(lambda: form([field_part("again", "0" * 32)]), "404 job_not_found"),
    "again, of a path": _plain(lambda: form([field_part("again", "../../etc/passwd")]), "404 job_not_found"),
    "again, of no text": _plain(lambda: form([field_part("again", b"\xff\xfe\0")]), "404 job_not_found"),
    "again, and files": _plain(lambda: _parts(field_part("again", "0" * 32)), "404 job_not_found"),
    "ten thousand fields": _plain(lambda: form([field_part("evil", "1")] * 10_000), "422 unknown_field"),
    "option that is no text": _plain(lambda: form([field_part("left", b"\xff\xfe\0")]), "422 unknown_instrument"),
    "file as text": _plain(lambda: form([field_part("audio", _wav().content)]), "422 not_a_file"),
    "option as file": _plain(lambda: form([part(OPTION_AS_FILE, b"violin")]), "422 missing_input"),
    "part without a name": _disposition("form-data"),
    "part with name*": _disposition("form-data; name*=utf-8''audio; filename*=utf-8''%2e%2e%2fa.wav"),
    "part of another kind": _disposition('attachment; name="audio"; filename="a.wav"'),
    "part with two names": _disposition('form-data; name="left"; name="audio"; filename="a.wav"'),
    "part with open quote": _disposition('form-data; name="audio; filename=a.wav'),
    "part with header of 100 KB": _part_header(b"X-Long: " + b"x" * 100_000),
    "part with 1,000 headers": _part_header(b"\r\n".join([b"X-A: 1"] * 1_000)),
    "part with header of no colon": _part_header(b"no colon at all"),
    "part with NUL in header": _part_header(b"X-\0: \0"),
    "part without headers": _plain(lambda: form([b"\r\n" + _wav().content])),
    "lines end in LF": _plain(lambda: _body().replace(b"\r\n", b"\n")),
    "odd file name": _name_of_file,
    "odd file name again": _name_of_file,
    "preamble": _plain(lambda: b"hello\r\n" + _body()),
    "epilogue": _plain(lambda: _body() + b"hello" * 99),
    "gzip, it says": _with("Content-Encoding: gzip"),
    "Expect: 100-continue": _with("Expect: 100-continue"),
    "Expect: 500-fail": _with("Expect: 500-fail"),
    "idempotency key, empty": _with("Idempotency-Key: "),
    "idempotency key, too long": _with("Idempotency-Key: " + "k" * 300),
    "idempotency key of other letters": _with("Idempotency-Key: \xff\xfe"),
    "idempotency key, twice": _with("Idempotency-Key: a", "Idempotency-Key: b"),
    "prefer wait": _with("Prefer: wait=1"),
    "prefer nonsense": _with("Prefer: wait=99999999999999999999, wait=-1, ;;;=,"),
    "request id with a line break": _with(b"X-Request-Id: a\r b"),
    "request id too long": _with("X-Request-Id: " + "a" * 4_000),
    "header of 60 KB": _with("X-Long: " + "x" * 60_000),
    "header of 1 MB": lambda rng: _sent(request(_body(), "X-Long: " + "x" * (1 << 20)), NO_HTTP, may_hang_up=True),
    "500 headers": _with(*(f"X-{i}: 1" for i in range(500))),
    "authorization of nonsense": _with("Authorization: Bearer \xff"),
    "host of nonsense": _with("Host: evil.example:99999"),
    "upgrade": _with("Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"),
    "put": _elsewhere("PUT", "/v1/jobs"),
    "odd method": _elsewhere("FOO", "/v1/jobs"),
    "post to the page": _elsewhere("POST", "/"),
    "post behind a slash": _elsewhere("POST", "/v1/jobs/"),
    "post to ../": _elsewhere("POST", "/v1/jobs/../../etc/passwd"),
    "post to %00": _elsewhere("POST", "/v1/jobs/%00%ff%2e%2e%2f/cancel"),
    "path of 10 KB": _elsewhere("GET", "/v1/jobs/" + "a" * 10_000),
    "odd query": _elsewhere("GET", "/v1/jobs?cursor=%00%ff&limit=1e9&state=%F0%9F%8E%BB&limit=2"),
    "cursor of nonsense": _elsewhere("GET", "/v1/jobs?cursor=MS4wZTMwOSA%3D"),
    "wait of nonsense": _elsewhere("GET", "/v1/jobs/" + "0" * 32 + "?wait=1e400"),
    "no HTTP": _bare(b"\0\1\2\3\r\n\r\n"),
    "a TLS hello": _bare(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)),
    "HTTP/0.9": _bare(b"GET /\r\n\r\n"),
    "HTTP/9.9": _bare(head(version="9.9", content_type=None)),
}  # fmt: skip
