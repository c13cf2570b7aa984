"""Jobs over HTTP: post, list, look at, cancel, delete."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Final

import anyio
from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Request, Response, status

from app.api.dependencies import QueueDep, SettingsDep, StorageDep, StoreDep
from app.api.form import REQUEST_BODY, parse_input, parse_options
from app.api.receiver import FormReceiver, read_body
from app.api.views import JobListView, JobView, entity_tag, job_path, view_job
from app.errors import (
    BodyTooLarge,
    BrokerUnavailable,
    ConflictingInput,
    CorruptZip,
    EmptyFile,
    IllegalTransition,
    InvalidCursor,
    InvalidRequest,
    JobNotFound,
    MalformedBody,
    MissingInput,
    NotAFile,
    QueueFull,
    SameInstrument,
    StorageFull,
    StorageUnavailable,
    TooManyImages,
    UnknownField,
    UnknownInstrument,
    UnknownOption,
    UnsupportedMedia,
)
from app.jobs.record import Job
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.problems import problem_responses
from app.queue import JobQueue
from app.settings import Settings
from app.storage import LocalStorage

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JobId = Annotated[str, Path(description="The job's id.", examples=["8f14e45fceea467a9c7f3d0d1f2b6a5e"])]

# When to look again after posting, and after a full queue.
_POLL_AFTER_S: Final = 1
_QUEUE_FULL_RETRY_S: Final = 30
# How often a waiting request looks at the record: one Redis read each time.
_WAIT_STEP_S: Final = 0.2

_TAKEN: dict[int | str, dict[str, Any]] = {
    202: {
        "headers": {
            "Location": {"description": "The job.", "schema": {"type": "string"}},
            "Retry-After": {"description": "Seconds until looking makes sense.", "schema": {"type": "integer"}},
        }
    }
}
_LOOKED_AT: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"description": "Changes with every change of the job.", "schema": {"type": "string"}}}},
    304: {"description": "Unchanged since the ETag of If-None-Match."},
}


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Post a duet",
    response_description="Taken; `Location` is where to look, `Retry-After` when.",
    openapi_extra={"requestBody": REQUEST_BODY},
    responses=_TAKEN
    | problem_responses(
        MalformedBody,
        BodyTooLarge,
        UnsupportedMedia,
        MissingInput,
        ConflictingInput,
        NotAFile,
        EmptyFile,
        CorruptZip,
        TooManyImages,
        UnknownField,
        UnknownInstrument,
        SameInstrument,
        UnknownOption,
        QueueFull,
        BrokerUnavailable,
        StorageUnavailable,
        StorageFull,
    ),
)
async def create_job(
    request: Request,
    response: Response,
    settings: SettingsDep,
    store: StoreDep,
    storage: StorageDep,
    queue: QueueDep,
) -> JobView:
    """Take a video of two players, or its pictures and sound, and queue its separation.

    Send exactly one of: `video`; `frames` with `audio`; `audio` with both `left` and `right`. A name
    given for a side overrides what the picture shows; with one given, the other is found in the picture.
    """
    await to_thread.run_sync(_check_room, store, settings)
    job_id = uuid.uuid4().hex
    receiver = FormReceiver(storage, job_id, request.headers.get("content-type", ""), settings.max_images)
    try:
        async for block in read_body(request, settings.max_upload_bytes):
            await to_thread.run_sync(receiver.feed, block)
        job = await to_thread.run_sync(_accept, job_id, receiver, settings, store, queue)
    except BaseException:
        # Shielded: a client that has gone away cancels this handler, and its files must go all the same.
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_drop, job_id, receiver, storage)
        raise
    position = await to_thread.run_sync(store.queue_position, job_id)
    response.headers["Location"] = job_path(job_id)
    response.headers["Retry-After"] = str(_POLL_AFTER_S)
    return view_job(job, position)


def _check_room(store: JobStore, settings: Settings) -> None:
    if store.queued_count() >= settings.max_queued:
        raise QueueFull(
            f"{settings.max_queued} jobs wait already, as many as this server takes; try again later",
            retry_after_s=_QUEUE_FULL_RETRY_S,
        )


def _accept(job_id: str, receiver: FormReceiver, settings: Settings, store: JobStore, queue: JobQueue) -> Job:
    options = parse_options(receiver.fields, settings)
    receiver.finish()
    job_input = parse_input(receiver.files, options)
    job = Job(id=job_id, state=JobState.QUEUED, created_at=time.time(), options=options, input=job_input)
    store.create(job)
    try:
        queue.enqueue(job_id)
    except BaseException:
        store.delete(job_id)
        raise
    return job


def _drop(job_id: str, receiver: FormReceiver, storage: LocalStorage) -> None:
    receiver.discard()
    storage.delete(job_id)


@router.get(
    "",
    summary="List jobs",
    responses=problem_responses(InvalidCursor, InvalidRequest, BrokerUnavailable),
)
def list_jobs(
    store: StoreDep,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs on a page.")] = 20,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
) -> JobListView:
    """List jobs, newest first."""
    page = store.list(limit, cursor, state)
    positions = store.queue_positions([job.id for job in page.jobs])
    views = [view_job(job, position) for job, position in zip(page.jobs, positions, strict=True)]
    return JobListView(jobs=views, next_cursor=page.next_cursor)


@router.get(
    "/{job_id}",
    summary="Look at a job",
    responses=_LOOKED_AT | problem_responses(JobNotFound, InvalidRequest, BrokerUnavailable),
    response_model=JobView,
)
async def get_job(
    request: Request,
    response: Response,
    job_id: JobId,
    settings: SettingsDep,
    store: StoreDep,
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
    deadline = time.monotonic() + min(wait, settings.max_wait_s)
    while True:
        job, position = await to_thread.run_sync(_look, store, job_id)
        tag = entity_tag(job, position)
        is_news = tag not in known if known else False
        left_s = deadline - time.monotonic()
        if is_news or job.state.is_final or left_s <= 0 or await request.is_disconnected():
            break
        await anyio.sleep(min(_WAIT_STEP_S, left_s))
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if tag in known:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    response.headers.update(headers)
    return view_job(job, position)


def _look(store: JobStore, job_id: str) -> tuple[Job, int | None]:
    job = store.get(job_id)
    return job, store.queue_position(job_id) if job.state is JobState.QUEUED else None


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    responses=problem_responses(JobNotFound, IllegalTransition, InvalidRequest, BrokerUnavailable),
)
def cancel_job(job_id: JobId, store: StoreDep) -> JobView:
    """End the job: at once while queued; while running its worker stops within seconds (`cancel_requested`).

    Canceling again changes nothing; a job that has succeeded or failed cannot be canceled.
    """
    job = store.request_cancel(job_id)
    return view_job(job, None)


@router.delete(
    "/{job_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a job",
    responses=problem_responses(JobNotFound, InvalidRequest, BrokerUnavailable),
)
def delete_job(job_id: JobId, store: StoreDep, storage: StorageDep) -> None:
    """Remove the job with its upload, its stems and its result. A worker that runs it notices and stops."""
    # The record goes first: without it nothing leads to the files, and the worker is told to stop.
    store.delete(job_id)
    storage.delete(job_id)
