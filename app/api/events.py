"""A job's changes as server-sent events (WHATWG HTML, section 9.2).

An event is the whole job as it is, so a client that missed some has missed nothing: after a break it sends
the last id it saw (browsers do so by themselves) and gets the present job if that differs.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import anyio
import redis
from fastapi import APIRouter, Header, Response, status
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from app.api.access import AccessDep, CallerDep
from app.api.dependencies import WatchDep
from app.api.jobs import JobId
from app.api.views import event_id, view_job
from app.api.watch import Look
from app.errors import BrokerUnavailable, InvalidRequest, JobNotFound, Unauthorized
from app.problems import problem_responses

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"], dependencies=[AccessDep])

KEEP_ALIVE_S: Final = 15.0  # below the 30 to 60 s after which proxies cut a silent connection
_RECONNECT_MS: Final = 2000
_BROKER_PAUSE_S: Final = 1.0
# X-Accel-Buffering: nginx would hold events back to fill its buffer.
_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

# One event of the stream, as clients' libraries hand it over.
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["job", "deleted"]},
        "id": {"type": "string", "description": "For Last-Event-ID."},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer", "description": "Milliseconds to wait before asking again after a break."},
    },
}

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `job`, each with the whole job as JSON; `deleted` if the job is removed meanwhile. "
        "Ends once the job is final.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
    204: {"description": "The job is final and Last-Event-ID names its last state: browsers stop asking."},
}


@router.get(
    "/events",
    summary="Follow a job",
    response_class=Response,
    responses=_STREAM | problem_responses(Unauthorized, JobNotFound, InvalidRequest, BrokerUnavailable),
)
async def follow_job(
    job_id: JobId,
    caller: CallerDep,
    watch: WatchDep,
    last_event_id: Annotated[str | None, Header(description="The id of the last event that was seen.")] = None,
) -> Response:
    """Send the job now, and again with every change until it is final.

    With Last-Event-ID, the first event is left out where it says nothing new.
    """
    look = await watch.look(job_id)
    caller.check_owner(look[0])
    if look[0].state.is_final and event_id(*look) == last_event_id:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return EventSourceResponse(job_events(watch, look, last_event_id), headers=_HEADERS)


async def job_events(
    watch: WatchDep, look: Look, last_event_id: str | None = None, keep_alive_s: float = KEEP_ALIVE_S
) -> AsyncIterator[bytes]:
    """Yield the events of a job, encoded, from `look` until it is final or deleted, or the server is to stop; comments
    when nothing happens.

    While the broker is away it waits for it.
    """
    yield format_sse_event(retry=_RECONNECT_MS)
    last_sent = time.monotonic()
    while True:
        job, position = look
        now_id = event_id(job, position)
        if now_id != last_event_id:
            data = view_job(job, position).model_dump_json(by_alias=True)
            yield format_sse_event(data_str=data, event="job", id=now_id)
            last_event_id, last_sent = now_id, time.monotonic()
        elif time.monotonic() - last_sent >= keep_alive_s:
            yield KEEPALIVE_COMMENT
            last_sent = time.monotonic()
        # A client whose stream ends before the job does asks again, and finds the server that has been started since.
        if job.state.is_final or watch.is_ending:
            return
        try:
            look = await watch.next_look(job.id)
        except JobNotFound:
            yield format_sse_event(data_str=json.dumps({"id": job.id}), event="deleted")
            return
        except redis.RedisError:
            await anyio.sleep(_BROKER_PAUSE_S)
