"""Following a job: events that break off, that do not come through, and a server that restarts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import duetto
from app.jobs.states import Stage
from app.jobs.store import JobStore
from app.settings import Settings
from tests.both_clients import both_clients
from tests.relay import BreakingLine
from tests.serving import serving
from tests.unit.client_service import Done, client, done, meddler, url, video
from tests.unit.meddling import Meddler

__all__ = ["client", "done", "meddler", "url", "video"]

pytestmark = both_clients


def followed(client: Any, job: duetto.Job, store: JobStore) -> list[tuple[str, float]]:
    """What is seen of a job that is driven from its beginning to its end, each step once the one before was seen."""
    steps: list[tuple[str, float]] = []
    for now in client.events(job):
        steps.append((now.state, now.progress))
        match steps[-1]:
            case "queued", _:
                store.start(job.id)
            case "running", 0.0:
                store.progress(job.id, Stage.SEPARATE, 0.5)
            case "running", 0.5:
                store.succeed(job.id)
    return steps


WHOLE = [("queued", 0.0), ("running", 0.0), ("running", 0.5), ("succeeded", 1.0)]


def test_every_change_comes_by_events(client: Any, meddler: Meddler, video: Path, store: JobStore) -> None:
    job = client.submit(video)
    meddler.seen.clear()
    assert followed(client, job, store) == WHOLE
    assert [(seen.method, seen.path) for seen in meddler.seen] == [("GET", f"/v1/jobs/{job.id}/events")]


def test_after_a_break_it_goes_on_with_what_is_new(
    make_client: Callable[..., Any], url: str, meddler: Meddler, video: Path, store: JobStore
) -> None:
    with duetto.Client(url) as sender:
        job = sender.submit(video)
    with BreakingLine(url, cuts=[1500, 1500]) as line, make_client(line.url) as client:
        assert followed(client, job, store) == WHOLE
    asked = [seen.headers.get("last-event-id") for seen in meddler.calls("GET", "/events")]
    assert len(asked) == 3
    assert asked[0] is None
    assert None not in asked[1:]


def test_a_line_that_breaks_now_and_then_is_no_outage(
    make_client: Callable[..., Any], url: str, meddler: Meddler, video: Path, store: JobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("duetto._following.OUTAGE_S", 0.0)
    with make_client(url, retries=1) as client:
        job = client.submit(video)
        meddler.brief = 6  # each brings no more than the pause that it asks for
        assert followed(client, job, store) == WHOLE
    assert meddler.brief == 0


def test_whoever_stops_listening_leaves_nothing_open(client: Any, video: Path) -> None:
    job = client.submit(video)
    events = client.events(job)
    assert next(events).state == "queued"
    events.close()
    assert client.job(job).state == "queued"


@pytest.mark.parametrize(
    "answer",
    [
        (404, {}, "<html>not here"),
        (405, {}, '{"code": "method_not_allowed"}'),
        (200, {"Content-Type": "text/html"}, "<html>a proxy's page"),
    ],
)
def test_where_there_are_no_events_it_asks(
    client: Any, meddler: Meddler, video: Path, store: JobStore, answer: tuple[int, dict[str, str], str]
) -> None:
    job = client.submit(video)
    meddler.refuse = [answer]
    assert followed(client, job, store) == WHOLE
    looks = meddler.calls("GET", job.id)
    assert len(meddler.calls("GET", "/events")) == 1
    assert "if-none-match" not in looks[0].headers
    assert all(look.headers["if-none-match"] for look in looks[1:])


def test_where_events_are_held_back_it_asks(
    client: Any, meddler: Meddler, video: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duetto._following.SILENCE_S", 2.0)
    meddler.hold = "/events"
    assert followed(client, client.submit(video), store) == WHOLE


def test_a_job_that_is_deleted_meanwhile(client: Any, meddler: Meddler, video: Path, store: JobStore) -> None:
    for _ in range(2):
        job = client.submit(video)
        events = client.events(job)
        next(events)
        store.delete(job.id)
        with pytest.raises(duetto.JobNotFound):
            next(events)
        meddler.refuse = []
    with pytest.raises(duetto.JobNotFound):
        client.wait(job)


def test_nobody_waits_for_a_server_that_needs_a_key(client: Any, meddler: Meddler) -> None:
    meddler.refuse = [(401, {}, '{"code": "unauthorized", "detail": "this server asks for an API key"}')]
    with pytest.raises(duetto.Unauthorized, match="asks for an API key"):
        client.wait("1")
    assert len(meddler.seen) == 1


@pytest.mark.parametrize("timeout_s", [None, 60.0], ids=["events", "asking"])
def test_a_server_that_restarts_during_a_wait(
    make_client: Callable[..., Any], settings: Settings, video: Path, store: JobStore, done: Done,
    timeout_s: float | None,
) -> None:  # fmt: skip
    seen: list[duetto.Progress] = []
    followed = threading.Event()

    def watch(now: duetto.Progress) -> None:
        seen.append(now)
        followed.set()

    with serving(settings) as port:
        client = make_client(f"http://127.0.0.1:{port}", retries=2)
        job = client.submit(video)
        ended: list[duetto.Job] = []
        waiting = threading.Thread(
            target=lambda: ended.append(client.wait(job, on_progress=watch, timeout_s=timeout_s))
        )
        waiting.start()
        assert followed.wait(30.0)
    done(job.id)
    waiting.join(1.0)
    assert ended == [], "nobody serves"
    with serving(settings, port), client:
        waiting.join()
    assert [job.state for job in ended] == ["succeeded"]
    assert [progress.stage for progress in seen] == ["queued", "succeeded"]
