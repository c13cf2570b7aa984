"""Every error as RFC 9457 problem details: ours, the framework's, and what nobody foresaw.

`type` is the stable relative reference ``/v1/problems#<code>``; GET ``/v1/problems`` lists the codes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import redis
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.broker import broker_problem
from app.errors import DuettoError, InvalidRequest
from app.openapi import allowed_methods
from app.request_id import HEADER as REQUEST_ID_HEADER
from app.security_headers import SECURITY_HEADERS

_log = logging.getLogger("duetto.api")

MEDIA_TYPE: Final = "application/problem+json"
PROBLEMS_PATH: Final = "/v1/problems"

# Codes of what the framework refuses before any of our code runs.
_FRAMEWORK_CODES: Final[dict[int, str]] = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
}


class ProblemField(BaseModel):
    """One of several things wrong, or the failure of the job that was asked about."""

    field: str | None = Field(default=None, description="Where: `body.left`, `query.limit`.")
    code: str | None = Field(default=None, description="A stable name for it.")
    message: str = Field(description="What was wrong, what was wanted.")


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "/v1/problems#unknown_instrument",
                "title": "No such instrument",
                "status": 422,
                "detail": "`left`: no instrument is called 'piano'; the eight are accordion, acoustic_guitar, "
                "cello, trumpet, flute, xylophone, saxophone, violin",
                "instance": "/v1/jobs",
                "code": "unknown_instrument",
                "request_id": "3f0c6a9e4d5b4f0fa1a0c7a5f0a7e3d1",
            }
        }
    )

    type: str = Field(description="`/v1/problems#<code>`, relative to this server.")
    title: str = Field(description="The kind of problem; the same for every problem of this code.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong, what was wanted and what to do.")
    instance: str = Field(description="The path that was asked for.")
    code: str = Field(description="A stable name to branch on.")
    request_id: str | None = Field(default=None, description="The request's X-Request-Id; the operator's log has it.")
    errors: list[ProblemField] | None = Field(default=None, description="One by one, where there are several.")


class ProblemKind(BaseModel):
    """A code that problems may carry."""

    code: str
    status: int
    title: str


def problem_kinds() -> tuple[ProblemKind, ...]:
    """Return every code, by status and name."""
    ours = (ProblemKind(code=kind.code, status=kind.status, title=kind.title) for kind in _tree(DuettoError))
    framework = (
        ProblemKind(code=code, status=status, title=HTTPStatus(status).phrase)
        for status, code in _FRAMEWORK_CODES.items()
    )
    unique = {kind.code: kind for kind in (*framework, *ours)}
    return tuple(sorted(unique.values(), key=lambda kind: (kind.status, kind.code)))


def problem_responses(*kinds: type[DuettoError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may raise `kinds`, for OpenAPI."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        titles = responses.setdefault(
            kind.status,
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        )
        entry = f"{kind.title} (`{kind.code}`)"
        titles["description"] = "; ".join(filter(None, [titles["description"], entry]))
    return responses


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem, and put the schema of one into its OpenAPI document."""
    app.add_exception_handler(DuettoError, _on_duetto_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(redis.RedisError, _on_broker_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unforeseen)

    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas["Problem"] = schema
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to extend the document


def _tree(kind: type[DuettoError]) -> Iterator[type[DuettoError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _problem(
    request: Request,
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body: dict[str, Any] = {
        "type": f"{PROBLEMS_PATH}#{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "code": code,
    }
    request_id = getattr(request.state, "request_id", None)
    if request_id is not None:
        body["request_id"] = request_id
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def answer_to(request: Request, error: DuettoError) -> Response:
    """Return the problem that a client is told of `error`."""
    errors = [{name: str(text) for name, text in entry.items()} for entry in error.errors]
    return _problem(request, error.status, error.code, error.title, error.detail, errors=errors, headers=error.headers)


async def _on_duetto_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, DuettoError):
        raise error
    return answer_to(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    # Only where and why: the input may be large, or not for a log.
    errors = [{"field": ".".join(map(str, entry["loc"])), "message": str(entry["msg"])} for entry in error.errors()]
    detail = "; ".join(f"`{entry['field']}`: {entry['message']}" for entry in errors)
    return _problem(request, InvalidRequest.status, InvalidRequest.code, InvalidRequest.title, detail, errors=errors)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    title = HTTPStatus(error.status_code).phrase
    code = _FRAMEWORK_CODES.get(error.status_code, f"http_{error.status_code}")
    details = {
        404: f"nothing is at {request.url.path}; /docs lists what there is",
        405: f"{request.method} is not possible here; the Allow header and /docs say what is",
    }
    detail = details.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(allowed_methods(request))
    return _problem(request, error.status_code, code, title, detail, headers=headers)


async def _on_broker_error(request: Request, error: Exception) -> Response:
    problem = broker_problem(error)
    if problem is None:
        raise error
    return answer_to(request, problem)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    del request, error
    # Nobody is left to read it; without this the log would show a failure of the server.
    return Response(status_code=400)


async def _on_unforeseen(request: Request, error: Exception) -> Response:
    # The traceback follows in the server's log; its text may hold paths, so the client gets none of it.
    request_id = getattr(request.state, "request_id", "-")
    _log.error("request %s failed: %s in %s %s", request_id, type(error).__name__, request.method, request.url.path)
    kind = DuettoError
    detail = "something went wrong that is not your fault; try again, and tell the operator if it stays"
    # This answer is made outside of all middleware.
    headers = {**SECURITY_HEADERS, REQUEST_ID_HEADER: request_id}
    return _problem(request, kind.status, kind.code, kind.title, detail, headers=headers)
