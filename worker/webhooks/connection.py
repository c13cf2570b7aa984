"""One attempt to send a webhook: a POST to a URL that a stranger chose, with little trust in what is there.

- The name is resolved once, and the connection made to an address that was checked, so a name that leads elsewhere
  at the second look (DNS rebinding) gains nothing. TLS is checked against the name.
- A redirect is an answer like any other, and not followed.
- Everything from the connection on ends `DEADLINE_S` after the beginning, however slowly it trickles.
- Of the answer no more than `MOST_ANSWER_BYTES` are read, and none are kept.
- No proxy of the environment is used: it would connect to what was not checked.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import httpx
from pydantic_core import Url

from app.webhooks.address import Address, Network, is_allowed
from app.webhooks.target import host_of
from worker.errors import AddressRefused, NameNotFound

DEADLINE_S: Final = 15.0
MOST_ANSWER_BYTES: Final = 4096

Resolver = Callable[[str, int], Sequence[str]]
"""The addresses that a name, or an address, leads to; raises OSError if there are none. Given a port too."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt.

    Attributes
    ----------
    status : the HTTP status; None if there was none
    error : why not: a code of `app.api.views.WebhookView.last_error`; None if there was one
    retry_after : the header field, as it came
    """

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None


def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system's resolver knows. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class WebhookConnector:
    """Sends webhooks.

    Parameters
    ----------
    allowed : networks that are taken besides public ones
    resolve : the resolver
    deadline_s : longest time for one attempt once the name is resolved, in seconds
    """

    def __init__(
        self, allowed: Sequence[Network] = (), resolve: Resolver = resolve_by_system, deadline_s: float = DEADLINE_S
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._deadline_s = deadline_s
        # Costs 20 ms to make; certificates by SSL_CERT_FILE, where an intranet has its own.
        self._tls = httpx.create_ssl_context()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send `body` once, and return what came of it. Whatever the receiver or the network does, it returns.

        `url` is as `app.webhooks.target.parse_target` returns it.
        """
        # httpcore's own parser would lose what follows a semicolon in the path.
        parts = Url(url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query is not None else parts.path or "/"
        requested = httpcore.URL(scheme=parts.scheme, host=host_of(url), port=parts.port, target=target)
        sent = {"Host": url.split("/")[2], "Content-Length": str(len(body)), "Connection": "close"}
        backend = _CheckedBackend(self._allowed, self._resolve, self._deadline_s)
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool,
                pool.stream("POST", requested, headers=list((sent | dict(headers)).items()), content=body) as response,
            ):
                return Answer(response.status, retry_after=_read(response))
        except AddressRefused:
            return Answer(error="address_refused")
        except NameNotFound:
            return Answer(error="name_not_found")
        except httpcore.TimeoutException:
            return Answer(error="timeout")
        except httpcore.ProtocolError:
            return Answer(error="protocol_error")
        except (httpcore.NetworkError, OSError) as error:
            return Answer(error="tls_failed" if _is_tls(error) else "connection_failed")


def _read(response: httpcore.Response) -> str | None:
    """Read a little of the answer, so that its sender does not see it cut off; return its Retry-After."""
    try:
        read = 0
        for chunk in response.iter_stream():
            read += len(chunk)
            if read >= MOST_ANSWER_BYTES:
                break
    # The status is what counts: a body that breaks off or never ends changes nothing about it.
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass
    values = [value for name, value in response.headers if name.lower() == b"retry-after"]
    return values[0].decode("latin-1") if values else None


def _is_tls(error: BaseException) -> bool:
    causes = (error, error.__cause__, error.__context__)
    return any(isinstance(cause, ssl.SSLError) for cause in causes)


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to addresses that may be connected to, and to no others, within one deadline."""

    def __init__(self, allowed: Sequence[Network], resolve: Resolver, deadline_s: float) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._deadline_s = deadline_s
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = [_parse_address(text) for text in self._resolve(host, port)]
        except (OSError, UnicodeError) as error:
            raise NameNotFound from error
        addresses = [address for address in found if is_allowed(address, self._allowed)]
        if not addresses:
            raise AddressRefused
        deadline = time.monotonic() + self._deadline_s
        failure: Exception | None = None
        for address in addresses:
            left_s = _left_s(deadline, timeout)
            try:
                stream = self._inner.connect_tcp(str(address), port, left_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _DeadlineStream(stream, deadline)
        raise failure or AddressRefused


class _DeadlineStream(httpcore.NetworkStream):
    """A connection on which every wait ends at the deadline, at the latest."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left_s(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left_s(self._deadline, timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        # The handshake as a whole keeps to its timeout, not each step of it.
        inner = self._inner.start_tls(ssl_context, server_hostname, _left_s(self._deadline, timeout))
        return _DeadlineStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _parse_address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise OSError("the resolver gave something that is no address") from error


def _left_s(deadline: float, timeout: float | None) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise httpcore.ReadTimeout
    return left_s if timeout is None else min(left_s, timeout)
