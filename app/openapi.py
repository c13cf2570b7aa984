"""The OpenAPI document as it is true of this very server, and the methods that a path has."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.routing import Match

_METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


def install(app: FastAPI, *, asks_for_keys: bool) -> None:
    """Let the document of `app` say what FastAPI cannot know.

    It asks for API keys only where the server does: what it says is required is refused without. And a parameter that
    may be left out is not one that may be null, which neither a header nor a query can be.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for operations in document["paths"].values():
            for operation in operations.values():
                for parameter in operation.get("parameters", ()):
                    _drop_null(parameter["schema"])
                if not asks_for_keys:
                    operation.pop("security", None)
        if not asks_for_keys:
            document.get("components", {}).pop("securitySchemes", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to extend the document


def _drop_null(schema: dict[str, Any]) -> None:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema |= kinds[0]


def allowed_methods(request: Request) -> tuple[str, ...]:
    """Return the methods that the request's path has (RFC 9110, section 10.2.1: `Allow`).

    Starlette names those of the first route that fits the path alone, and each of ours has one method.
    """
    app: FastAPI = request.app

    def fits(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in app.routes)

    return tuple(filter(fits, _METHODS))
