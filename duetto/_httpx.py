"""How both connections use httpx: its settings, and its errors as ours."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from duetto._connection import DEFAULT_SERVER, Request
from duetto._errors import InvalidAnswer, ServerSilent, ServerUnreachable, UnusableKey
from duetto._version import __version__

KEY_VARIABLE: Final = "DUETTO_API_KEY"
_CONNECT_TIMEOUT_S: Final = 10.0
_ERRNO: Final = re.compile(r"\[Errno -?\d+\] ")


def client_arguments(server: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Return what both httpx clients are made with.

    Raises
    ------
    UnusableKey
        If the key cannot be one.
    ServerUnreachable
        If `server` is no address.
    """
    key = api_key if api_key is not None else os.environ.get(KEY_VARIABLE)
    if key and not (key.isascii() and key.isprintable()):
        raise UnusableKey(
            f"the API key ({KEY_VARIABLE}, or the one given) has characters that no key has; copy it anew"
        )
    headers = {"User-Agent": f"duetto-python/{__version__}"}
    return {
        "base_url": server.rstrip("/"),
        "headers": headers | ({"Authorization": f"Bearer {key}"} if key else {}),
        "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S)),
        # Nobody wants a proxy between two programs of one machine, whatever the environment says.
        "mounts": {"http://": None, "https://": None} if _is_loopback(_host_of(server)) else None,
        # A redirect would turn a POST into a GET, and could take the key elsewhere: who calls gives the new address.
        "follow_redirects": False,
    }


def _host_of(server: str) -> str:
    try:
        parts = urlsplit(server)
        host = parts.hostname
        parts.port  # noqa: B018 - raises
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ServerUnreachable(f"{server!r} is no address of a server; one looks like {DEFAULT_SERVER}")
    return host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def request_arguments(request: Request, timeout: httpx.Timeout) -> dict[str, Any]:
    """Return what `build_request` of an httpx client takes, all but the body."""
    silence_s = request.silence_s
    return {
        "method": request.method,
        "url": request.path,
        "headers": {**request.headers, **(request.form.headers if request.form else {})},
        "params": dict(request.params) or None,
        "timeout": timeout if silence_s is None else httpx.Timeout(**(timeout.as_dict() | {"read": silence_s})),
    }


@contextmanager
def translated(server: object) -> Iterator[None]:
    """Raise httpx's errors as ours.

    Raises
    ------
    ServerUnreachable, ServerSilent, InvalidAnswer
    """
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        reason = _ERRNO.sub("", str(error)) or "no answer in time"
        raise ServerUnreachable(
            f"no Duetto server answers at {server} ({reason}); start one with `duetto serve`, or give another address"
        ) from error
    except httpx.TimeoutException as error:
        raise ServerSilent(f"the server at {server} was silent for too long; try again later") from error
    except httpx.TransportError as error:
        raise ServerUnreachable(f"the connection to {server} broke off: {error}") from error
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise InvalidAnswer(f"{server} answers, but not as a Duetto server does: {error}") from error
