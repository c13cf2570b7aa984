"""A small real HTTP server that speaks the contract of docs/api.md, for tests of the client."""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

JOB_ID = "0123456789abcdef0123456789abcdef"
STEM = bytes(range(256)) * 1024  # 256 KiB
RESULT = {
    "labels": {
        "left": {"instrument": "violin", "probability": 0.93, "source": "tagger"},
        "right": {"instrument": "acoustic_guitar", "probability": None, "source": "request"},
    },
    "tagger": "efficientnet-lite2",
    "separator": "report",
    "warnings": ["the recording is mono"],
}


def job_document(state: str, **more: Any) -> dict[str, Any]:
    return {
        "id": JOB_ID,
        "state": state,
        "stage": None,
        "progress": 0.0,
        "eta_seconds": None,
        "queue_position": None,
        "input": {"kind": "video", "title": "duet.mp4"},
        "error": None,
        "links": {
            "self": f"/v1/jobs/{JOB_ID}",
            **{side: f"/v1/jobs/{JOB_ID}/stems/{side}.wav" for side in ("left", "right")},
        },
        **more,
    }


@dataclass
class Server:
    """What the server does and what it saw. A test changes the first and looks at the second."""

    url: str = ""
    states: list[dict[str, Any]] = field(default_factory=list)  # answers of GET job, the last one for ever
    refuse: list[tuple[int, dict[str, str], str]] = field(default_factory=list)  # answered first, each once
    cut_after: list[int] = field(default_factory=list)  # body bytes after which a download breaks off, each once
    stem: bytes = STEM
    seen: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    idempotency_keys: list[str | None] = field(default_factory=list)  # of every POST of a job
    form: dict[str, list[tuple[str | None, bytes]]] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.stem).hexdigest()}"'


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def answer_json(self, document: Any, status: int = 200) -> None:
            self.answer(status, json.dumps(document).encode(), Content_Type="application/json")

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            path = urlsplit(self.path).path
            server.seen.append((self.command, self.path))
            if (self.command, path) == ("POST", "/v1/jobs"):
                server.idempotency_keys.append(self.headers.get("Idempotency-Key"))
            if server.refuse:
                status, headers, text = server.refuse.pop(0)
                self.answer(status, text.encode(), **headers)
            elif (self.command, path) == ("POST", "/v1/jobs"):
                self.read_form(body)
                self.answer_json(job_document("queued", queue_position=0), 202)
            elif path == f"/v1/jobs/{JOB_ID}/result":
                self.answer_json(RESULT)
            elif path == f"/v1/jobs/{JOB_ID}/cancel":
                self.answer_json(job_document("canceled"))
            elif path.startswith(f"/v1/jobs/{JOB_ID}/stems/"):
                self.send_stem()
            elif (self.command, path) == ("DELETE", f"/v1/jobs/{JOB_ID}"):
                self.answer(204, b"")
            elif path == f"/v1/jobs/{JOB_ID}":
                self.answer_json(server.states.pop(0) if len(server.states) > 1 else server.states[0])
            else:
                problem = {"type": "about:blank", "title": "No such job", "status": 404}
                problem |= {"detail": "no job has this id", "code": "job_not_found"}
                self.answer(404, json.dumps(problem).encode(), Content_Type="application/problem+json")

        def read_form(self, body: bytes) -> None:
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
            for part in message.iter_parts():
                name = part.get_param("name", header="content-disposition")
                content = part.get_payload(decode=True)
                server.form.setdefault(name, []).append((part.get_filename(), content))

        def send_stem(self) -> None:
            wanted = self.headers.get("Range")
            server.ranges.append(wanted)
            start = 0
            if wanted and self.headers.get("If-Range") == server.etag:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            body = server.stem[start:]
            self.send_response(206 if start else 200)
            self.send_header("ETag", server.etag)
            self.send_header("Content-Length", str(len(body)))
            if start:
                total = len(server.stem)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.end_headers()
            cut = server.cut_after.pop(0) if server.cut_after else None
            self.wfile.write(body[:cut])
            self.close_connection = cut is not None

        do_GET = do_POST = do_DELETE = respond  # noqa: N815 - the base's names

    return Handler
