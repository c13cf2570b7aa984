"""``GET /metrics``: what Prometheus asks for."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from app.api.access import AccessDep
from app.api.system import RedisDep
from app.errors import InvalidRequest, Unauthorized
from app.metrics.tally import Tally
from app.problems import problem_responses

router = APIRouter(tags=["system"], dependencies=[AccessDep])


_TEXT: Final[dict[str, Any]] = {"schema": {"type": "string"}}
_TOLD: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Prometheus's text format, or OpenMetrics where Accept asks for it.",
        "content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT},
    }
}


async def _registry(request: Request) -> CollectorRegistry:
    registry: CollectorRegistry = request.app.state.registry
    return registry


async def _tally(request: Request) -> Tally:
    tally: Tally = request.app.state.tally
    return tally


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses=_TOLD | problem_responses(Unauthorized, InvalidRequest),
)
def metrics(
    registry: Annotated[CollectorRegistry, Depends(_registry)],
    tally: Annotated[Tally, Depends(_tally)],
    client: RedisDep,
    accept: Annotated[str, Header(description="`application/openmetrics-text` for OpenMetrics.")] = "",
) -> Response:
    """Tell how queue, jobs, workers, requests and storage stand: the same totals from every web process.

    Answers without Redis too, with `duetto_broker_up 0` and little else.
    """
    # What this process has counted since its last flush belongs to what it is asked for.
    tally.try_flush(client)
    encode, content_type = choose_encoder(accept)
    return Response(
        encode(registry), media_type=None, headers={"Content-Type": content_type, "Cache-Control": "no-store"}
    )
