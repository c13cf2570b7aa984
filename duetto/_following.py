"""Follows a job to its end: by server-sent events, or by asking again where these do not come through."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from duetto._answers import NOT_MODIFIED, check, read_document
from duetto._connection import Connection, Request
from duetto._errors import Error, InvalidAnswer, ServerSilent, ServerUnreachable
from duetto._events import Event, EventParser
from duetto._job import Job
from duetto._problems import JobNotFound, MethodNotAllowed, NotFound
from duetto._retries import Retries

# The server sends a comment every 15 s, and something at once: who hears nothing for longer is cut off, or behind a
# proxy that holds events back.
SILENCE_S: Final = 25.0
OUTAGE_S: Final = 120.0  # a server that has answered once is waited for so long when it restarts
HELD_S: Final = 20.0  # `?wait=`: below the 30 to 60 s after which proxies give a connection up
SHORTEST_POLL_S: Final = 0.2  # a server that does not hold its answers is still not asked more often
_STREAM_HEADERS: Final = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Accept-Encoding": "identity"}


class _NoStreamError(Exception):
    """Events do not come through."""


@dataclass(slots=True)
class _Seen:
    """What has been seen of a job, in the server's words."""

    event_id: str = ""
    etag: str = ""
    retry_s: float | None = None
    has_answered: bool = False


async def follow(
    connection: Connection, path: str, retries: Retries, deadline: float | None = None
) -> AsyncGenerator[Job, None]:
    """Yield the job at `path` now, and again with every change until it has ended.

    Parameters
    ----------
    deadline : time of `time.monotonic()` at which to stop, whatever the job does. Answers can be held to a time, events
        cannot, so with a deadline it asks.

    Raises
    ------
    JobNotFound
        If it is deleted.
    ServerUnreachable, Problem, InvalidAnswer
        If the server stays away for longer than two minutes, or there is no use in asking again.
    """
    seen = _Seen()
    streams = deadline is None
    while deadline is None or time.monotonic() < deadline:
        jobs = _stream(connection, path, seen) if streams else _look(connection, path, seen, deadline)
        try:
            async with aclosing(jobs):
                async for job in jobs:
                    yield job
                    if job.is_final:
                        return
        except _NoStreamError:
            streams = False
        except Error as error:
            if seen.has_answered:  # since the last failure: a line that breaks now and then is no outage
                retries.succeeded(OUTAGE_S)
                seen.has_answered = False
            pause_s = retries.pause_s(error, seen.retry_s)
            left_s = pause_s if deadline is None else max(0.0, deadline - time.monotonic())
            await connection.sleep(min(pause_s, left_s))


async def _stream(connection: Connection, path: str, seen: _Seen) -> AsyncGenerator[Job, None]:
    """Yield the job with every event of one connection."""
    headers = _STREAM_HEADERS | ({"Last-Event-ID": seen.event_id} if seen.event_id else {})
    parser = EventParser()
    has_begun = False
    try:
        async with connection.open(Request("GET", f"{path}/events", headers, silence_s=SILENCE_S)) as answer:
            await check(answer)
            if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise _NoStreamError
            async with aclosing(answer.chunks()) as chunks:
                async for chunk in chunks:
                    has_begun = seen.has_answered = True
                    for event in parser.feed(chunk):
                        seen.event_id = event.last_id
                        if event.name in ("job", "deleted"):
                            yield _job_of(event)
                    seen.retry_s = parser.retry_s
    except (NotFound, MethodNotAllowed) as error:
        raise _NoStreamError from error
    except ServerSilent as error:
        if has_begun:
            raise
        raise _NoStreamError from error
    raise ServerUnreachable("the server ended its events before the job had ended")


async def _look(connection: Connection, path: str, seen: _Seen, deadline: float | None) -> AsyncGenerator[Job, None]:
    """Yield the job once, when it has changed; nothing if it does not for a while."""
    asked = time.monotonic()
    held_s = 0.0
    if seen.etag:
        held_s = HELD_S if deadline is None else min(HELD_S, max(0.0, deadline - asked))
    request = Request(
        "GET", path, {"If-None-Match": seen.etag} if seen.etag else {}, {"wait": f"{held_s:.3f}"},
        silence_s=held_s + SILENCE_S,
    )  # fmt: skip
    async with connection.open(request) as answer:
        await check(answer)
        seen.has_answered = True
        if answer.status != NOT_MODIFIED:
            seen.etag = answer.headers.get("ETag", "")
            yield Job.of(await read_document(answer))
    await connection.sleep(max(0.0, SHORTEST_POLL_S - (time.monotonic() - asked)))


def _job_of(event: Event) -> Job:
    if event.name == "deleted":
        raise JobNotFound(404, "No such job", "the job has been deleted")
    try:
        return Job.of(json.loads(event.data))
    except ValueError as error:
        raise InvalidAnswer("the server's event is no job; is this address a Duetto server?") from error
