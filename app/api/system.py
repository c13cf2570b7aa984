"""The server itself over HTTP: is it alive, is it ready, which version, which instruments and problems."""

from __future__ import annotations

import platform
from typing import Annotated, Final, Literal

import redis
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import StorageDep
from app.broker import RETRY_AFTER_S, broker_problem
from app.broker_health import BrokerHealth
from app.errors import BrokerUnavailable, DuettoError, FieldError, StorageFull, StorageUnavailable
from app.instruments import INSTRUMENTS, Instrument
from app.problems import PROBLEMS_PATH, ProblemKind, problem_kinds, problem_responses
from app.version import duetto_version

router = APIRouter(tags=["system"])

API_VERSION: Final = "v1"


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Broker and storage can be used."""

    status: Literal["ready"] = "ready"
    checks: dict[str, Literal["ok"]] = Field(examples=[{"broker": "ok", "storage": "ok"}])
    warnings: list[str] = Field(description="What works, and can lose jobs or refuse them all the same.", examples=[[]])


class Version(BaseModel):
    """What is running."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "duetto", "version": "0.1.0", "api": "v1", "python": "3.11.9"}}
    )

    name: Literal["duetto"] = "duetto"
    version: str
    api: str
    python: str


async def _redis(request: Request) -> redis.Redis:
    client: redis.Redis = request.app.state.redis
    return client


RedisDep = Annotated[redis.Redis, Depends(_redis)]


@router.get("/livez", summary="Is the server alive")
async def livez() -> Alive:
    """Answer while the process does; looks at nothing else, so that a broker's outage restarts no server."""
    return Alive()


@router.get(
    "/readyz",
    summary="Is the server ready",
    responses=problem_responses(BrokerUnavailable, StorageUnavailable) | problem_responses(StorageFull),
)
def readyz(client: RedisDep, storage: StorageDep) -> Ready:
    """Answer 200 if the broker answers and the storage can be written, else a problem that says which not.

    Each part that fails is one of the problem's `errors`, by its name as `field`.
    """
    failures: dict[str, DuettoError] = {}
    warnings: list[str] = []
    try:
        warnings = BrokerHealth.look(client).warnings()
    except redis.RedisError as error:
        failures["broker"] = broker_problem(error) or BrokerUnavailable("the job queue does not answer as it should")
    try:
        storage.check_writable()
    except DuettoError as error:
        failures["storage"] = error
    if failures:
        errors: list[FieldError] = [
            {"field": part, "code": failure.code, "message": failure.detail} for part, failure in failures.items()
        ]
        detail = "; ".join(failure.detail for failure in failures.values())
        raise type(next(iter(failures.values())))(detail, errors=errors, retry_after_s=RETRY_AFTER_S)
    return Ready(checks={"broker": "ok", "storage": "ok"}, warnings=warnings)


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
