"""The web process: builds the FastAPI app out of its parts.

Run it with ``uvicorn --factory app.main:create_app``, or with ``duetto serve``, which brings a broker and
a worker along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from app import problems
from app.api import jobs, page, stems, system
from app.broker import connect
from app.jobs.store import JobStore
from app.lingering import LingeringClose
from app.queue import JobQueue
from app.settings import Settings, get_settings
from app.storage import LocalStorage

_DESCRIPTION = """
Post the video of a musical duet; get back who plays which instrument on which side, and one stem for
each player.

1. `POST /v1/jobs` with the video answers 202 and the job.
2. `GET /v1/jobs/{job_id}?wait=60` until its state is `succeeded`, `failed` or `canceled`.
3. `GET` the job's links: `left`, `right`, `result`.

Every error is an RFC 9457 problem with a stable `code`; `GET /v1/problems` lists them.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the app. It connects to the broker with the first request that needs it.

    Parameters
    ----------
    settings : all settings; without them, those of the environment

    Raises
    ------
    ConfigurationError
        If no Redis is set.
    """
    settings = settings or get_settings()
    app = FastAPI(
        title="Duetto",
        version=system.duetto_version(),
        description=_DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=_lifespan,
        redoc_url=None,
        # A redirect would make a client send its upload twice.
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.redis = connect(settings)
    app.state.store = JobStore(app.state.redis)
    app.state.storage = LocalStorage(settings.data_dir)
    app.state.queue = JobQueue(settings)
    for part in (jobs, stems, system, page):
        app.include_router(part.router)
    problems.install(app)
    app.add_middleware(LingeringClose)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await to_thread.run_sync(app.state.redis.close)
