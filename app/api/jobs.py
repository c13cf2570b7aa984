"""Jobs over HTTP: list, look at, cancel, delete. Posting: app/api/submission.py; following: app/api/events.py."""

from __future__ import annotations

import logging
import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response, status

from app.api.access import AccessDep, CallerDep
from app.api.dependencies import QuotaDep, SettingsDep, StorageDep, StoreDep, WatchDep
from app.api.views import JobListView, JobView, entity_tag, view_job
from app.api.watch import Look
from app.errors import (
    BrokerUnavailable,
    IllegalTransition,
    InvalidCursor,
    InvalidRequest,
    JobNotFound,
    StorageUnavailable,
    Unauthorized,
)
from app.jobs.states import JobState
from app.problems import problem_responses

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[AccessDep])
_log = logging.getLogger("duetto.api")

JobId = Annotated[str, Path(description="The job's id.", examples=["8f14e45fceea467a9c7f3d0d1f2b6a5e"])]

_LOOKED_AT: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"description": "Changes with every change of the job.", "schema": {"type": "string"}}}},
    304: {"description": "Unchanged since the ETag of If-None-Match."},
}


@router.get(
    "",
    summary="List jobs",
    responses=problem_responses(Unauthorized, InvalidCursor, InvalidRequest, BrokerUnavailable),
)
def list_jobs(
    store: StoreDep,
    caller: CallerDep,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs on a page.")] = 20,
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=200, description="`next_cursor` of the page before.")
    ] = None,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
) -> JobListView:
    """List jobs, newest first; where API keys are used, those of the key."""
    page = store.list(limit, cursor, state, caller.name)
    positions = store.queue_positions([job.id for job in page.jobs])
    views = [view_job(job, position) for job, position in zip(page.jobs, positions, strict=True)]
    return JobListView(jobs=views, next_cursor=page.next_cursor)


@router.get(
    "/{job_id}",
    summary="Look at a job",
    responses=_LOOKED_AT | problem_responses(Unauthorized, JobNotFound, InvalidRequest, BrokerUnavailable),
    response_model=JobView,
)
async def get_job(
    request: Request,
    response: Response,
    job_id: JobId,
    caller: CallerDep,
    settings: SettingsDep,
    watch: WatchDep,
    wait: Annotated[
        float,
        Query(ge=0, allow_inf_nan=False, description="Seconds to hold the answer; the server caps it (60 by default)."),
    ] = 0.0,
    if_none_match: Annotated[str | None, Header(description="An earlier answer's ETag.")] = None,
) -> JobView | Response:
    """Return the job at once, or with `wait` as soon as there is something to say.

    Without If-None-Match that is when the job is final; with it, when the job has changed since that
    ETag (else 304 at the end of the wait). A job that is final is never waited for.
    """
    known = {tag.strip() for tag in (if_none_match or "").split(",")} - {""}
    look = await watch.look(job_id)
    caller.check_owner(look[0])

    def is_news(look: Look) -> bool:
        return bool(known) and entity_tag(*look) not in known

    deadline = time.monotonic() + min(wait, settings.max_wait_s)
    job, position = await watch.wait(look, deadline, request.is_disconnected, is_news)
    tag = entity_tag(job, position)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if tag in known:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    response.headers.update(headers)
    return view_job(job, position)


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    responses=problem_responses(Unauthorized, JobNotFound, IllegalTransition, InvalidRequest, BrokerUnavailable),
)
def cancel_job(job_id: JobId, caller: CallerDep, store: StoreDep) -> JobView:
    """End the job: at once while queued; while running its worker stops within seconds (`cancel_requested`).

    Canceling again changes nothing; a job that has succeeded or failed cannot be canceled.
    """
    caller.check_owner(store.get(job_id))
    job = store.request_cancel(job_id)
    return view_job(job, None)


@router.delete(
    "/{job_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a job",
    responses=problem_responses(Unauthorized, JobNotFound, InvalidRequest, BrokerUnavailable),
)
def delete_job(job_id: JobId, caller: CallerDep, store: StoreDep, storage: StorageDep, quota: QuotaDep) -> None:
    """Remove the job with its upload, its stems and its result. A worker that runs it notices and stops."""
    caller.check_owner(store.get(job_id))
    # The record goes first: without it nothing leads to the files, and the worker is told to stop.
    store.delete(job_id)
    quota.release(caller.client, job_id)
    try:
        storage.delete(job_id)
    except StorageUnavailable as error:
        # The job is gone; who asked again would be told 404.
        _log.warning("job %s is deleted; its files are left to the sweep: %s", job_id, error)
