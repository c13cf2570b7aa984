"""The web process: builds the FastAPI app out of its parts.

Run it with ``uvicorn --factory app.main:create_app``, or with ``duetto serve``, which brings a broker and
a worker along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis
from anyio import create_task_group, to_thread
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.middleware.cors import CORSMiddleware

from app import openapi, problems
from app.api import events, jobs, methods, metrics, page, stems, submission, system, video, webhooks
from app.api.watch import JobWatch
from app.broker import connect
from app.broker_health import warn_of_broker
from app.heap import keep_heap_small
from app.idempotency import IdempotencyKeys
from app.jobs.store import JobStore
from app.keys import parse_keyring
from app.lingering import LingeringClose
from app.logs.setup import configure_logging
from app.metrics.collector import ServiceCollector
from app.metrics.flusher import Flusher
from app.metrics.requests import MeasureRequests
from app.metrics.tally import Tally
from app.presence import Presence
from app.queue import JobQueue
from app.quota import ClientQuota
from app.request_id import HEADER as REQUEST_ID_HEADER
from app.request_id import RequestId
from app.routing import parse_gpu_jobs
from app.security_headers import SecurityHeaders
from app.settings import Settings, get_settings
from app.stopping import AnswerCutOff, told_of_stop
from app.storage import open_storage
from app.version import duetto_version
from app.webhooks.acceptance import check_webhooks

_DESCRIPTION = """
Post the video of a musical duet; get back who plays which instrument on which side, and one stem for
each player.

1. `POST /v1/jobs` with the video answers 202 and the job.
2. `GET /v1/jobs/{job_id}?wait=60` until its state is `succeeded`, `failed` or `canceled`.
   Or `GET /v1/jobs/{job_id}/events` and be told.
3. `GET` the job's links: `left`, `right`, `result`, or `stems` for all in one zip.

Where the server asks for an API key, send it as `Authorization: Bearer KEY`. Every error is an RFC 9457
problem with a stable `code`; `GET /v1/problems` lists them.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the app. It connects to the broker with the first request that needs it.

    Parameters
    ----------
    settings : all settings; without them, those of the environment

    Raises
    ------
    ConfigurationError
        If no Redis is set, or the API keys, the webhooks' settings or `gpu_jobs` cannot be read.
    """
    if settings is None:
        # Called by a server's command line: the process is the API's, its heap and its log included.
        keep_heap_small()
        settings = get_settings()
        configure_logging(settings)
    app = FastAPI(
        title="Duetto",
        version=duetto_version(),
        description=_DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=_lifespan,
        docs_url=None,  # FastAPI's own page comes from elsewhere on the internet; ours is app/page/docs.html
        redoc_url=None,
        # A redirect would make a client send its upload twice.
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.redis = connect(settings)
    app.state.store = JobStore(app.state.redis)
    app.state.storage = open_storage(settings)
    app.state.queue = JobQueue(settings)
    app.state.idempotency = IdempotencyKeys(app.state.redis)
    app.state.quota = ClientQuota(app.state.redis, settings.max_queued_per_client)
    app.state.watch = JobWatch(app.state.store)
    app.state.tally = Tally()
    app.state.presence = Presence(app.state.redis)
    app.state.registry = CollectorRegistry(auto_describe=False)
    app.state.registry.register(ServiceCollector(app.state.redis, settings.data_dir, duetto_version()))
    ProcessCollector(registry=app.state.registry)
    app.state.keyring = parse_keyring(settings.api_keys)
    check_webhooks(settings)
    parse_gpu_jobs(settings.gpu_jobs)  # now, not with the first job
    for part in (submission, jobs, events, stems, video, methods, system, metrics, page):
        app.include_router(part.router)
    app.webhooks.include_router(webhooks.router)
    problems.install(app)
    openapi.install(app, asks_for_keys=bool(app.state.keyring))
    # The last one added is the outermost.
    app.add_middleware(LingeringClose)
    app.add_middleware(AnswerCutOff)
    _allow_origins(app, settings)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(MeasureRequests, tally=app.state.tally)
    app.add_middleware(RequestId)
    return app


def _allow_origins(app: FastAPI, settings: Settings) -> None:
    """Let the web pages of other origins call the API, where the settings name any."""
    origins = [origin.strip().rstrip("/") for origin in (settings.cors_origins or "").split(",") if origin.strip()]
    if not origins:
        return
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "DELETE"],
        allow_headers=[
            "Authorization", "Idempotency-Key", "If-None-Match", "If-Range", "Last-Event-ID", "Prefer", "Range",
            REQUEST_ID_HEADER,
        ],
        expose_headers=[
            "Content-Disposition", "Content-Range", "ETag", "Location", "Preference-Applied", "Repr-Digest",
            "Retry-After", REQUEST_ID_HEADER,
        ],
    )  # fmt: skip


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    flusher = Flusher(app.state.tally, app.state.redis)
    flusher.start()
    async with create_task_group() as tasks:
        tasks.start_soon(_warn_of_broker, app.state.redis)
        with told_of_stop(app.state.watch.end_waits):
            yield
        tasks.cancel_scope.cancel()
    await to_thread.run_sync(flusher.stop)
    await to_thread.run_sync(app.state.queue.close)
    await to_thread.run_sync(app.state.redis.close)


async def _warn_of_broker(client: redis.Redis) -> None:
    """Say once what of the broker's settings can lose jobs. Beside the start, which must not wait for a broker."""
    await to_thread.run_sync(warn_of_broker, client, abandon_on_cancel=True)
