"""``POST /v1/jobs``: take an upload, once, and queue it."""

from __future__ import annotations

import logging
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

import anyio
import redis
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Request, Response, status

from app.api.access import AccessDep, Caller, CallerDep
from app.api.dependencies import WatchDep
from app.api.form import REQUEST_BODY, check_again, parse_input, parse_options
from app.api.receiver import FormReceiver, read_body
from app.api.views import JobView, job_path, view_job
from app.api.watch import Look
from app.errors import (
    BodyTooLarge,
    BrokerFull,
    BrokerUnavailable,
    ConflictingInput,
    CorruptZip,
    EmptyFile,
    FilesGone,
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidRequest,
    JobExpired,
    JobNotFound,
    MalformedBody,
    MissingInput,
    NotAFile,
    QueueFull,
    QuotaExceeded,
    ServerStopping,
    StorageFull,
    StorageUnavailable,
    TooManyImages,
    Unauthorized,
    UnknownField,
    UnknownInstrument,
    UnknownOption,
    UnsupportedMedia,
    UnusableWebhook,
    WebhooksDisabled,
)
from app.idempotency import IdempotencyKeys
from app.jobs.record import Job, JobInput, JobOptions
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.methods import Kind
from app.metrics.families import JOBS_CREATED
from app.metrics.tally import Tally
from app.presence import Presence
from app.problems import problem_responses
from app.queue import JobQueue
from app.quota import ClientQuota
from app.request_id import current_request_id
from app.routing import queue_of
from app.settings import Settings
from app.storage.protocol import Storage
from app.webhooks.acceptance import parse_webhook

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[AccessDep])
_log = logging.getLogger("duetto.api")

# When to look again after posting, and after a full queue.
_POLL_AFTER_S: Final = 1
_QUEUE_FULL_RETRY_S: Final = 30
# Between claiming an idempotency key and making its job lies one round trip to Redis. A claim without a job for
# longer is that of a process that died in between, or of a job that has been deleted.
_CLAIM_GRACE_S: Final = 2.0
_CLAIM_STEP_S: Final = 0.1
# RFC 7240, section 4.3, among other preferences.
_PREFER_WAIT: Final = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)

_TAKEN: dict[int | str, dict[str, Any]] = {
    202: {
        "headers": {
            "Location": {"description": "The job.", "schema": {"type": "string"}},
            "Retry-After": {"description": "Seconds until looking makes sense.", "schema": {"type": "integer"}},
            "Preference-Applied": {"description": "The wait that was granted.", "schema": {"type": "string"}},
        }
    }
}


@dataclass(frozen=True, slots=True)
class Service:
    """What taking a job needs, out of the app's state."""

    settings: Settings
    store: JobStore
    storage: Storage
    queue: JobQueue
    keys: IdempotencyKeys
    quota: ClientQuota
    tally: Tally
    presence: Presence

    def added_names(self, kind: Kind) -> list[str]:
        """Return the names of separators or taggers that workers have from other packages."""
        return sorted({added.name for added in self.presence.added() if added.kind is kind})


async def _service(request: Request) -> Service:
    state = request.app.state
    return Service(
        state.settings, state.store, state.storage, state.queue, state.idempotency, state.quota, state.tally,
        state.presence,
    )  # fmt: skip


ServiceDep = Annotated[Service, Depends(_service)]


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Post a duet",
    response_description="Taken; `Location` is where to look, `Retry-After` when.",
    openapi_extra={"requestBody": REQUEST_BODY},
    responses=_TAKEN
    | problem_responses(
        Unauthorized,
        JobNotFound,
        FilesGone,
        JobExpired,
        MalformedBody,
        BodyTooLarge,
        UnsupportedMedia,
        InvalidRequest,
        MissingInput,
        ConflictingInput,
        NotAFile,
        EmptyFile,
        CorruptZip,
        TooManyImages,
        UnknownField,
        UnknownInstrument,
        UnknownOption,
        UnusableWebhook,
        WebhooksDisabled,
        IdempotencyKeyReused,
        QuotaExceeded,
        QueueFull,
        BrokerFull,
        BrokerUnavailable,
        ServerStopping,
        StorageUnavailable,
        StorageFull,
    ),
)
async def create_job(
    request: Request,
    response: Response,
    caller: CallerDep,
    service: ServiceDep,
    watch: WatchDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="A name for this upload, new for each. Sent again within 24 hours with the same fields and "
            "files, the answer is the job of the first time.",
        ),
    ] = None,
    prefer: Annotated[
        str | None, Header(description="`wait=N`: answer when the job has ended, at the latest after N seconds.")
    ] = None,
) -> JobView:
    """Take a video of two players, or its pictures and sound, and queue its separation.

    Send exactly one of: `video`; `frames` with `audio`; `audio` with both `left` and `right`; `again` with the id
    of an earlier job, whose files are then used once more. A name
    given for a side overrides what the picture shows; with one given, the other is found in the picture.
    """
    job_id = uuid.uuid4().hex
    submission = _Submission(service, caller, job_id, idempotency_key)
    await to_thread.run_sync(submission.begin)
    try:
        receiver = FormReceiver(
            service.storage,
            job_id,
            request.headers.get("content-type", ""),
            service.settings.max_images,
            fingerprints=idempotency_key is not None,
        )
        try:
            async for block in read_body(request, service.settings.max_upload_bytes):
                await to_thread.run_sync(receiver.feed, block)
            job = await to_thread.run_sync(submission.parse, receiver)
            job = await submission.accept(job, receiver)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(receiver.discard)
            raise
    except BaseException:
        # Shielded: a client that has gone away cancels this handler, and its files must go all the same.
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(submission.undo)
        raise
    if job.id != job_id:
        await to_thread.run_sync(submission.undo)
    response.headers["Location"] = job_path(job.id)
    response.headers["Retry-After"] = str(_POLL_AFTER_S)
    look: Look = (job, None)
    # The job is taken, whatever happens now: its place must reach the client, or it would send the job again.
    with suppress(JobNotFound, redis.RedisError):
        look = await watch.look(job.id)
        if wait := _PREFER_WAIT.search(prefer or ""):
            wait_s = min(int(wait[1]), int(service.settings.max_wait_s))
            response.headers["Preference-Applied"] = f"wait={wait_s}"
            look = await watch.wait(look, time.monotonic() + wait_s, request.is_disconnected)
    return view_job(*look)


class _Submission:
    """One upload on its way to being a job. All but `accept` block: call them in a thread."""

    def __init__(self, service: Service, caller: Caller, job_id: str, key: str | None) -> None:
        self._service = service
        self._caller = caller
        self._job_id = job_id
        self._key = key
        self._has_room = False
        self._may_be_taken = False

    def begin(self) -> None:
        """Check that there is room for one more.

        Raises
        ------
        QueueFull, QuotaExceeded, BrokerFull
            If there is none.
        """
        if self._key is not None and self._service.keys.is_known(self._caller.name, self._key):
            return  # most likely the job is there already, and needs no room
        self._take_room()

    def _take_room(self) -> None:
        if self._has_room:
            return
        service = self._service
        limit = service.settings.max_queued
        if service.store.queued_count() >= limit:
            raise QueueFull(
                f"{limit} jobs wait already, as many as this server takes; try again later",
                retry_after_s=_QUEUE_FULL_RETRY_S,
            )
        # Before the body is read, and not when all of it is here.
        service.store.check_room()
        service.quota.reserve(self._caller.client, self._job_id)
        self._has_room = True

    def parse(self, receiver: FormReceiver) -> Job:
        """Return the job that the form describes, whose files are there.

        Raises
        ------
        InvalidRequest, MalformedBody
            If the form describes none.
        JobNotFound, JobExpired, FilesGone
            If the files of an earlier job are wanted, and there is no such job of the caller's, or it has none.
        """
        options = parse_options(receiver.fields, self._service.settings, self._service.added_names)
        webhook_url = parse_webhook(receiver.fields.get("webhook_url", ""), self._service.settings)
        receiver.finish()
        again = receiver.fields.get("again", "").strip()
        job_input = self._input_of(again, receiver, options) if again else parse_input(receiver.files, options)
        return Job(
            id=self._job_id,
            state=JobState.QUEUED,
            created_at=time.time(),
            options=options,
            input=job_input,
            queue=queue_of(options, self._service.settings),
            owner=self._caller.name,
            webhook_url=webhook_url,
            request_id=current_request_id(),
        )

    def _input_of(self, job_id: str, receiver: FormReceiver, options: JobOptions) -> JobInput:
        earlier = self._service.store.get(job_id)
        self._caller.check_owner(earlier)
        check_again(receiver.files, earlier.input, options)
        if earlier.state is JobState.EXPIRED:
            raise JobExpired("the files of the job that `again` names have been removed by age; send them again")
        self._service.storage.copy_upload(job_id, self._job_id, earlier.input.keys)
        return earlier.input

    async def accept(self, job: Job, receiver: FormReceiver) -> Job:
        """Queue the job and return it; or return the one that was made with the same idempotency key before.

        Raises
        ------
        IdempotencyKeyReused
            If that one was made of other fields or files.
        QueueFull, QuotaExceeded
            If room was not asked for at the beginning, because the key was known, and there is none.
        BrokerUnavailable
            If the job cannot be queued; it is not there then.
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError
            If Redis went away in the midst of it: the job may be there, and is then done like any other.
        """
        if self._key is None:
            await to_thread.run_sync(self._enqueue, job)
            return job
        service, owner, key = self._service, self._caller.name, self._key
        fingerprint = receiver.fingerprint()
        waited_s = 0.0
        while True:
            holder = await to_thread.run_sync(service.keys.claim, owner, key, job.id, fingerprint)
            if holder == job.id:
                try:
                    await to_thread.run_sync(self._take_room)
                    await to_thread.run_sync(self._enqueue, job)
                except BaseException:
                    if not self._may_be_taken:
                        with anyio.CancelScope(shield=True):
                            await to_thread.run_sync(service.keys.release, owner, key, job.id)
                    raise
                return job
            try:
                return await to_thread.run_sync(service.store.get, holder)
            except JobNotFound:
                if waited_s >= _CLAIM_GRACE_S:
                    await to_thread.run_sync(service.keys.release, owner, key, holder)
            await anyio.sleep(_CLAIM_STEP_S)
            waited_s += _CLAIM_STEP_S

    def undo(self) -> None:
        """Leave nothing of the upload behind, unless it may have become a job: that would lose its files.

        If it has not, the next sweep finds files without a record (worker/expiry.py), and the next upload with the
        idempotency key takes that over.
        """
        if self._may_be_taken:
            return
        self._service.storage.delete(self._job_id)
        # A reservation that stays ends by itself.
        with suppress(redis.RedisError):
            self._service.quota.release(self._caller.client, self._job_id)

    def _enqueue(self, job: Job) -> None:
        service = self._service
        # Also for a request that is cut off meanwhile: this thread goes on.
        self._may_be_taken = True
        try:
            # The id is this upload's alone: if it exists, an earlier try was taken and only its answer lost.
            with suppress(IllegalTransition):
                service.store.create(job)
            try:
                service.queue.enqueue(job.id, job.queue)
            except BaseException:
                with suppress(JobNotFound):
                    service.store.delete(job.id)
                raise
        except BaseException as error:
            self._may_be_taken = isinstance(error, redis.ConnectionError | redis.TimeoutError)
            raise
        service.tally.count(JOBS_CREATED)
        _log.info("job %s is queued", job.id, extra={"job_id": job.id})
        # The job is queued, and not to be lost for the sake of its being counted.
        with suppress(redis.RedisError):
            service.quota.confirm(self._caller.client, job.id)
