"""``GET /v1/methods``: which separators and taggers a job may ask for."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import AccessDep
from app.errors import BrokerUnavailable, Unauthorized
from app.methods import AUTO, BUILT_IN, Kind
from app.presence import Added, Presence, added_here
from app.problems import problem_responses
from app.version import duetto_version

router = APIRouter(tags=["jobs"], dependencies=[AccessDep])


class Method(BaseModel):
    """A separator or tagger, and the package that it is a part of."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "nmf", "package": "duetto", "version": "0.1.0"}})

    name: str = Field(description="What a job asks for it by.")
    package: str
    version: str


class Methods(BaseModel):
    """All separators and taggers. `auto`, which is always taken, is not among them: it stands for one of them."""

    separators: list[Method]
    taggers: list[Method]


@router.get(
    "/v1/methods",
    summary="List the separators and taggers",
    responses=problem_responses(Unauthorized, BrokerUnavailable),
)
def methods(request: Request) -> Methods:
    """List what comes with Duetto, then what other packages add, here or to a worker that was heard of lately.

    A name comes once for each version that there is.
    """
    presence: Presence = request.app.state.presence
    added = presence.added().union(added_here())
    return Methods(separators=_of_kind(Kind.SEPARATOR, added), taggers=_of_kind(Kind.TAGGER, added))


def _of_kind(kind: Kind, added: frozenset[Added]) -> list[Method]:
    ours = [Method(name=name, package="duetto", version=duetto_version()) for name in BUILT_IN[kind] if name != AUTO]
    theirs = sorted((one.name, one.package, one.version) for one in added if one.kind is kind)
    return ours + [Method(name=name, package=package, version=version) for name, package, version in theirs]
