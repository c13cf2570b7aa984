"""Sends a request byte for byte as a case has it, over a plain socket, and reads the answer."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.fuzz.case import Case

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back. `status` is None where the server hung up without an answer."""

    status: int | None
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is none."""
        with contextlib.suppress(ValueError):
            found = json.loads(self.body)
            if isinstance(found, dict):
                return found
        return {}


HUNG_UP = Answer(None, {}, b"")


@contextlib.contextmanager
def _hung_up_on() -> Iterator[None]:
    """Let the other side end the connection inside the block; a `TimeoutError` is none of that."""
    try:
        yield
    except ConnectionError:
        pass
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


def exchange(url: str, case: Case) -> Answer:
    """Send the case to the server at `url` and return its answer.

    Raises
    ------
    TimeoutError
        If there is none within `TIMEOUT_S`.
    """
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 80)), timeout=TIMEOUT_S) as link:
        # A server that has refused the request may hang up while it is still being sent.
        with _hung_up_on():
            for fragment in case.blocks():
                if fragment.pause_s:
                    time.sleep(fragment.pause_s)
                link.sendall(fragment.data)
            if case.may_hang_up:
                # The request is no whole one: the server learns that nothing more will come.
                link.shutdown(socket.SHUT_WR)
        try:
            answer = http.client.HTTPResponse(link, method="POST")
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, ConnectionError):
            return HUNG_UP
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, body)
