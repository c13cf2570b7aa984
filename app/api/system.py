"""The server itself over HTTP: is it alive, is it ready, which version, which instruments and problems."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib import metadata
from typing import Final, Literal

import redis
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import StorageDep, StoreDep
from app.errors import BrokerUnavailable, DuettoError, FieldError, StorageFull, StorageUnavailable
from app.instruments import INSTRUMENTS, Instrument
from app.problems import PROBLEMS_PATH, ProblemKind, problem_kinds, problem_responses
from app.queue import RETRY_AFTER_S

router = APIRouter(tags=["system"])

API_VERSION: Final = "v1"
# Said by a tree that was never installed, where no distribution can be asked.
_UNKNOWN_VERSION: Final = "0+source"


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Broker and storage can be used."""

    status: Literal["ready"] = "ready"
    checks: dict[str, Literal["ok"]] = Field(examples=[{"broker": "ok", "storage": "ok"}])


class Version(BaseModel):
    """What is running."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "duetto", "version": "0.1.0", "api": "v1", "python": "3.11.9"}}
    )

    name: Literal["duetto"] = "duetto"
    version: str
    api: str
    python: str


@lru_cache(maxsize=1)
def duetto_version() -> str:
    """Return the installed version."""
    try:
        return metadata.version("duetto")
    except metadata.PackageNotFoundError:
        return _UNKNOWN_VERSION


@router.get("/livez", summary="Is the server alive")
async def livez() -> Alive:
    """Answer while the process does; looks at nothing else, so that a broker's outage restarts no server."""
    return Alive()


@router.get(
    "/readyz",
    summary="Is the server ready",
    responses=problem_responses(BrokerUnavailable, StorageUnavailable) | problem_responses(StorageFull),
)
def readyz(store: StoreDep, storage: StorageDep) -> Ready:
    """Answer 200 if the broker answers and the storage can be written, else a problem that says which not."""
    failures: list[DuettoError] = []
    try:
        store.ping()
    except redis.RedisError:
        failures.append(BrokerUnavailable("the job queue cannot be reached", retry_after_s=RETRY_AFTER_S))
    try:
        storage.check_writable()
    except DuettoError as error:
        failures.append(error)
    if failures:
        errors: list[FieldError] = [{"code": failure.code, "message": failure.detail} for failure in failures]
        first = failures[0]
        raise type(first)("; ".join(failure.detail for failure in failures), errors=errors, retry_after_s=RETRY_AFTER_S)
    return Ready(checks={"broker": "ok", "storage": "ok"})


@router.get("/version", summary="Which version runs")
async def version() -> Version:
    """Name the versions of Duetto, of this interface and of Python."""
    return Version(version=duetto_version(), api=API_VERSION, python=platform.python_version())


@router.get("/v1/instruments", summary="List the instruments", tags=["instruments"])
async def instruments() -> list[Instrument]:
    """List the eight instruments that Duetto knows, in the order of every array with an instrument axis."""
    return list(INSTRUMENTS)


@router.get(PROBLEMS_PATH, summary="List the problems")
async def problems() -> list[ProblemKind]:
    """List every code that a problem may carry."""
    return list(problem_kinds())
