"""The client's parts that know no network: events, forms, retries, problems."""

from __future__ import annotations

import pickle
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.sse import format_sse_event
from hypothesis import given, settings
from hypothesis import strategies as st
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser

import duetto
from app.api.form import OPTION_NAMES
from app.errors import DuettoError, InvalidRequest
from app.problems import problem_kinds
from app.uploads import Field
from duetto import _problems, _retries
from duetto._blocking import run
from duetto._events import Event, EventParser
from duetto._form import Form
from duetto._job import Job
from duetto._problems import problem_of, retry_after_s
from duetto._progress import Progress
from duetto._retries import Retries

# --- events ---

LINES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs",)), max_size=12)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    """`data` in pieces."""
    begin = 0
    for place in sorted(place % (len(data) + 1) for place in places):
        yield data[begin:place]
        begin = place
    yield data[begin:]


@settings(deadline=None)
@given(
    st.lists(st.tuples(LINES, st.lists(LINES, min_size=1, max_size=3), LINES), max_size=5),
    st.lists(st.integers(0, 10_000), max_size=20),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_events_do_not_depend_on_how_their_bytes_are_cut(
    sent: list[tuple[str, list[str], str]], places: list[int], end: str, has_mark: bool
) -> None:
    text = "".join(
        f": a comment{end}event: {name}{end}id: {event_id}{end}"
        + "".join(f"data: {line}{end}" for line in lines)
        + f"retry: 1500{end}{end}"
        for name, lines, event_id in sent
    )
    parser = EventParser()
    found: list[Event] = []
    for piece in cut((("\ufeff" if has_mark else "") + text).encode(), places):
        found += parser.feed(piece)
    assert found == [Event(name or "message", "\n".join(lines), event_id) for name, lines, event_id in sent]
    assert parser.retry_s == (1.5 if sent else None)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_events_as_the_server_writes_them(data: str) -> None:
    (event,) = EventParser().feed(format_sse_event(data_str=data, event="job", id="7-1"))
    assert (event.name, event.last_id) == ("job", "7-1")
    assert event.data == re.sub("\r\n|\r", "\n", data)


def test_events_are_told_as_soon_as_they_are_whole() -> None:
    parser = EventParser()
    assert parser.feed(b"data: 1\r\n\r") == [Event("message", "1", "")]
    assert parser.feed(b"\ndata: 2\n\ndata: half") == [Event("message", "2", "")]


def test_an_id_lasts_and_a_comment_is_nothing() -> None:
    parser = EventParser()
    stream = b"id: 3\ndata\n\n:\n\nid: \x004\nretry: soon\nunknown: x\ndata:  x\n\nid\ndata: y\n\n"
    assert parser.feed(stream) == [Event("message", "", "3"), Event("message", " x", "3"), Event("message", "y", "")]
    assert parser.retry_s is None


@pytest.mark.parametrize("endless", [b"x" * 65_536, b"data: " + b"x" * 65_536 + b"\n"])
def test_an_event_without_end_is_no_event(endless: bytes) -> None:
    parser = EventParser()
    with pytest.raises(duetto.InvalidAnswer):
        list(map(parser.feed, [endless] * 100))


# --- forms ---


async def parsed(form: Form) -> list[tuple[str, Any]]:
    """The form as the server's own framework reads it."""

    async def body() -> Any:
        for block, _ in form.blocks():
            yield block

    read = await MultiPartParser(Headers(form.headers), body()).parse()
    found = [
        (name, value if isinstance(value, str) else (value.filename, value.file.read()))
        for name, value in read.multi_items()
    ]
    await read.close()
    return found


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
FILENAMES = st.text(st.characters(exclude_characters="/\0\\", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.sampled_from(["left", "right", "format"]), TEXT), FILENAMES, st.binary(max_size=600_000))
def test_a_form_is_what_a_server_reads(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, str], name: str, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("form")
    try:
        (folder / name).write_bytes(content)
    except OSError:  # `.` or `..`, or too long
        name = "video.mp4"
        (folder / name).write_bytes(content)
    form = Form(fields, [("video", folder / name), ("audio", folder / name)])
    found = run(parsed(form))
    assert dict(found[: len(fields)]) == fields
    written = name.replace('"', "%22")
    assert found[len(fields) :] == [("video", (written, content)), ("audio", (written, content))]
    blocks = list(form.blocks())
    assert sum(len(block) for block, _ in blocks) == form.size == int(form.headers["Content-Length"])
    assert max(len(block) for block, _ in blocks) <= 1 << 18
    assert blocks[-1][1] == 1.0


def test_names_end_no_header(tmp_path: Path) -> None:
    path = tmp_path / 'a"\r\nX-Evil: 1\r\n\r\nb.mp4'
    path.write_bytes(b"x")
    head = next(Form({}, [("video", path)]).blocks())[0]
    (disposition,) = (line for line in head.split(b"\r\n") if line.startswith(b"Content-Disposition"))
    assert parse_options_header(disposition)[1][b"filename"] == b"a%22%0D%0AX-Evil: 1%0D%0A%0D%0Ab.mp4"
    assert head.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("then", [b"", b"shorter", b"much longer than before" * 100_000])
def test_a_file_that_changes_while_it_is_sent(tmp_path: Path, then: bytes) -> None:
    path = tmp_path / "growing.mp4"
    path.write_bytes(b"what was there")
    form = Form({}, [("video", path)])
    path.write_bytes(then)
    with pytest.raises(duetto.UnusableFile, match="has changed while it was sent"):
        list(form.blocks())


# --- retries ---

AWAY = duetto.ServerUnreachable("away")


def test_pauses_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda *span: span[1])
    retries = Retries(8)
    assert [retries.pause_s(AWAY) for _ in range(8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    with pytest.raises(duetto.ServerUnreachable, match="away"):
        retries.pause_s(AWAY)


def test_pauses_of_many_clients_differ() -> None:
    pauses = {Retries(1).pause_s(AWAY) for _ in range(20)}
    assert len(pauses) > 10
    assert all(0.5 <= pause / _retries.FIRST_PAUSE_S <= 1.0 for pause in pauses)


def test_who_has_answered_once_is_waited_for_longer() -> None:
    now = [0.0]
    retries = Retries(2, clock=lambda: now[0])
    retries.succeeded(patience_s=120.0)
    for now[0] in (0.0, 1.0, 60.0, 119.0):
        retries.pause_s(AWAY)
    now[0] = 120.0
    with pytest.raises(duetto.ServerUnreachable):
        retries.pause_s(AWAY)
    retries.succeeded(patience_s=120.0)
    now[0] = 1000.0
    assert retries.pause_s(AWAY) > 0.0


def busy(hint_s: float | None) -> duetto.ServerBusy:
    return duetto.QueueFull(503, "The queue is full", retry_after_s=hint_s)


def test_what_the_server_asks_for_is_heeded() -> None:
    assert Retries(4).pause_s(busy(30.0)) == 30.0
    assert Retries(4).pause_s(busy(0.0), hint_s=2.0) == 0.0
    assert Retries(4).pause_s(AWAY, hint_s=2.0) == 2.0
    assert 0.0 < Retries(4).pause_s(busy(None)) <= 0.25
    with pytest.raises(duetto.QueueFull):
        Retries(4).pause_s(busy(31.0))


@pytest.mark.parametrize("error", [
    duetto.UnusableFile("gone"), duetto.InvalidAnswer("?"), duetto.UnknownInstrument(422, "No such instrument"),
    duetto.StorageFull(507, "full"), duetto.InternalError(500, "?"), duetto.StemNotReady(409, "?", retry_after_s=2.0),
])  # fmt: skip
def test_what_would_come_again_is_not_tried_again(error: duetto.Error) -> None:
    with pytest.raises(type(error)):
        Retries(4).pause_s(error)


def test_who_wants_no_retries_gets_none() -> None:
    retries = Retries(0)
    retries.succeeded(patience_s=120.0)
    with pytest.raises(duetto.ServerUnreachable):
        retries.pause_s(AWAY)


NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0), (" 0 ", 0.0), ("9" * 40, 999_999_999.0), ("", None), ("-1", None), ("soon", None), ("1.5", None),
        ("Sun, 01 Jun 2025 12:00:45 GMT", 45.0), ("Sun, 01 Jun 2025 11:00:00 GMT", 0.0),
        ("Sun, 01 Jun 2025 12:00:45 -0000", 45.0), ("Sun, 99 Jun 2025 12:00:45 GMT", None), ("²", None),
    ],
)  # fmt: skip
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after_s({"Retry-After": text}, NOW) == seconds


# --- problems ---

ENDED = {"job_failed": duetto.JobFailed, "job_canceled": duetto.JobCanceled, "job_expired": duetto.JobExpired}


def test_every_problem_of_the_server_has_its_class() -> None:
    ours = _problems._BY_CODE | ENDED
    assert set(ours) == {kind.code for kind in problem_kinds()}
    for kind in problem_kinds():
        found = problem_of(kind.status, kind.title, {}, f'{{"code": "{kind.code}", "detail": "why"}}'.encode(), "/")
        assert type(found) is ours[kind.code]
        assert getattr(duetto, type(found).__name__) is type(found)
        assert str(found).startswith("why")


def test_they_are_called_and_arranged_as_the_server_has_them() -> None:
    theirs = {
        kind.code: kind for kind in (InvalidRequest, *InvalidRequest.__subclasses__(), *DuettoError.__subclasses__())
    }
    for code, kind in theirs.items():
        if kind.__module__ != InvalidRequest.__module__:  # of `duetto serve` itself, never an answer
            continue
        ours = ENDED.get(code) or _problems._BY_CODE[code]
        assert ours.__name__ == kind.__name__
        assert issubclass(ours, duetto.InvalidRequest) == issubclass(kind, InvalidRequest)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, duetto.Unauthorized), (413, duetto.BodyTooLarge), (429, duetto.ServerBusy), (502, duetto.ServerBusy),
        (503, duetto.ServerBusy), (418, duetto.Problem), (500, duetto.ServerBusy),
    ],
)  # fmt: skip
def test_an_answer_of_something_in_between(status: int, kind: type[duetto.Problem]) -> None:
    for body in (b"<html>", b"[]", b"\xff", b'"text"', b""):
        found = problem_of(status, "Reason", {"Retry-After": "7"}, body, "http://host/v1/jobs")
        assert type(found) is kind
        assert (found.status, found.code, found.retry_after_s) == (status, "", 7.0)
        assert str(found) == f"http://host/v1/jobs answered {status} Reason (HTTP {status})"


def test_a_code_of_a_later_version() -> None:
    body = b'{"code": "too_loud", "detail": "turn it down", "errors": [{"field": "audio", "message": "loud"}, 1]}'
    found = problem_of(422, "Too loud", {"X-Request-Id": "r1"}, body, "/")
    assert type(found) is duetto.Problem
    assert (found.code, found.errors, found.request_id) == ("too_loud", ({"field": "audio", "message": "loud"},), "r1")
    assert str(found) == "turn it down (too_loud 422)"
    assert str(problem_of(500, "?", {"X-Request-Id": "r1"}, body, "/")) == "turn it down (too_loud 500, request r1)"


JOB = Job.of({"id": "1", "state": "running"})


@pytest.mark.parametrize("error", [
    duetto.UnusableFile("gone"), duetto.NotInTime(JOB, 5.0), duetto.QueueFull(503, "full", "50", retry_after_s=30.0),
    duetto.JobFailed(duetto.Failure("no_audio", "it has no sound", "probe", retryable=False), JOB),
])  # fmt: skip
def test_errors_pass_between_processes(error: duetto.Error) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


# --- options, jobs and progress ---


def test_the_options_are_those_of_the_form() -> None:
    fields = set(OPTION_NAMES) | {str(field) for field in Field}
    assert set(duetto.Options.__annotations__) | {"left", "right", "video"} == fields | {"idempotency_key"}


def test_progress_is_a_line() -> None:
    def line(**more: Any) -> str:
        return str(Progress.of_job(Job.of({"id": "1", "state": "running", "stage": "separate", **more})))

    assert line(progress=0.62, eta_seconds=9.5) == "separate 62 %, about 10 s left"
    assert line(state="queued", stage=None, queue_position=3) == "queued 0 %, 3 ahead"
    assert str(Progress("paused", 0.5, note="the queue is full")) == "paused 50 %: the queue is full"
