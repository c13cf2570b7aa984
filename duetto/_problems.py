"""What the server refuses with (RFC 9457): a class for each code of docs/api.md, arranged by what helps.

Three codes are no class here: that a job failed, was canceled or has expired is told by the same errors, whoever
notices it (duetto/_errors.py). A code that this version does not know is a plain :class:`Problem`, or what its status
says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from duetto._errors import Error, JobCanceled, JobExpired, JobFailed
from duetto._job import Failure


class Problem(Error):
    """The server refused.

    Attributes
    ----------
    status : int
        HTTP status.
    code : str
        Stable name of the problem, e.g. ``unknown_instrument``; empty if the answer was no problem document.
    title, detail : str
        What was wrong, in general and in particular.
    errors : sequence of mapping
        The same field by field (`field` or `code`, `message`), where several things are wrong.
    retry_after_s : float or None
        Seconds after which the server suggests to try again.
    request_id : str or None
        By which the server's operator finds the request in the log.
    """

    code: str = ""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        code: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        self.code = self.code if code is None else code
        place = f"{self.code or 'HTTP'} {status}"
        if status >= 500 and request_id:
            place += f", request {request_id}"
        super().__init__(f"{detail or title} ({place})")
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.request_id = request_id


class InvalidRequest(Problem):
    """A field, option or query that cannot be used."""

    code = "invalid_request"


class UnknownInstrument(InvalidRequest):
    """The name is none of the eight instruments."""

    code = "unknown_instrument"


class UnknownOption(InvalidRequest):
    """A separator, tagger, label rule or format that does not exist, or bits that the format does not have."""

    code = "unknown_option"


class UnknownField(InvalidRequest):
    """An option that this server does not know."""

    code = "unknown_field"


class MissingInput(InvalidRequest):
    """No file came, or not all that belong together."""

    code = "missing_input"


class ConflictingInput(InvalidRequest):
    """Files that exclude each other."""

    code = "conflicting_input"


class NotAFile(InvalidRequest):
    """A field that takes a file came as text."""

    code = "not_a_file"


class EmptyFile(InvalidRequest):
    """A file of no bytes."""

    code = "empty_file"


class CorruptZip(InvalidRequest):
    """A zip of frames that is damaged, encrypted or without pictures."""

    code = "corrupt_zip"


class TooManyImages(InvalidRequest):
    """More frames than the server takes."""

    code = "too_many_images"


class InvalidCursor(InvalidRequest):
    """A list cursor that this server did not make."""

    code = "invalid_cursor"


class UnusableWebhook(InvalidRequest):
    """A `webhook_url` that is none, or that leads where nothing is sent."""

    code = "unusable_webhook"


class WebhooksDisabled(InvalidRequest):
    """The server has no secret to sign webhooks with."""

    code = "webhooks_disabled"


class IdempotencyKeyReused(InvalidRequest):
    """The `idempotency_key` came before, with other fields or files."""

    code = "idempotency_key_reused"


class MalformedBody(Problem):
    """No multipart body, or a broken one."""

    code = "malformed_body"


class Unauthorized(Problem):
    """No API key, one that is not known, or the server answers nobody without one from there."""

    code = "unauthorized"


class NotFound(Problem):
    """The server has nothing at this path."""

    code = "not_found"


class JobNotFound(Problem):
    """No such job: never created, deleted, or another key's."""

    code = "job_not_found"


class FilesGone(Problem):
    """The job's files, or one of them, are not there any more."""

    code = "files_gone"


class OtherFormat(Problem):
    """The job's stems have another format."""

    code = "other_format"


class MethodNotAllowed(Problem):
    """The server does not do this at this path."""

    code = "method_not_allowed"


class IllegalTransition(Problem):
    """The job's state does not allow this: canceling one that has ended."""

    code = "illegal_transition"


class StemNotReady(Problem):
    """A stem or result was asked for before the job succeeded."""

    code = "stem_not_ready"


class BodyTooLarge(Problem):
    """The upload has more bytes than the server takes."""

    code = "body_too_large"


class UnsupportedMedia(Problem):
    """A file of a format that is not taken."""

    code = "unsupported_media"


class RangeNotSatisfiable(Problem):
    """A range outside the file."""

    code = "range_not_satisfiable"


class ServerBusy(Problem):
    """The server cannot do it now, and may later: too much to do, or something that it needs is away."""


class QuotaExceeded(ServerBusy):
    """As many jobs of this client wait as the server allows."""

    code = "quota_exceeded"


class QueueFull(ServerBusy):
    """As many jobs wait as the server allows."""

    code = "queue_full"


class BrokerUnavailable(ServerBusy):
    """The server cannot reach its queue."""

    code = "broker_unavailable"


class BrokerFull(ServerBusy):
    """The server's queue has no memory left."""

    code = "broker_full"


class ServerStopping(ServerBusy):
    """The server stops, perhaps to be started again, before the request was done."""

    code = "server_stopping"


class StorageUnavailable(ServerBusy):
    """The server cannot use its storage."""

    code = "storage_unavailable"


class StorageFull(Problem):
    """The server has no space left for an upload."""

    code = "storage_full"


class InternalError(Problem):
    """The server failed; its operator finds why by `request_id`."""

    code = "internal_error"


class ConfigurationError(Problem):
    """The server is not configured."""

    code = "configuration_error"


def _tree(kind: type[Problem]) -> Iterator[type[Problem]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


_BY_CODE: Final = {kind.code: kind for kind in _tree(Problem) if kind.code}
# What a proxy in between answers with has no code of ours. Nor has the 500 with which uvicorn ends the calls that it
# cuts off when it stops.
_BY_STATUS: Final[Mapping[int, type[Problem]]] = {
    401: Unauthorized, 404: NotFound, 405: MethodNotAllowed, 413: BodyTooLarge,
    429: ServerBusy, 500: ServerBusy, 502: ServerBusy, 503: ServerBusy, 504: ServerBusy,
}  # fmt: skip
_JOB_ENDED: Final[Mapping[str, type[JobCanceled | JobExpired]]] = {
    "job_canceled": JobCanceled,
    "job_expired": JobExpired,
}


def problem_of(status: int, reason: str, headers: Mapping[str, str], body: bytes, url: str) -> Error:
    """Return the error that an answer outside 200 to 299 describes, as well as it does."""
    document: dict[str, Any] = {}
    with suppress(ValueError):
        parsed = json.loads(body)
        document = parsed if isinstance(parsed, dict) else {}
    code = str(document.get("code") or "")
    detail = str(document.get("detail") or "") if document else f"{url} answered {status} {reason}".strip()
    listed = document.get("errors")
    errors = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    if code == "job_failed":
        reported = errors[0] if errors else {}
        return JobFailed(Failure(str(reported.get("code", "")), str(reported.get("message", detail)), None, False))
    if code in _JOB_ENDED:
        return _JOB_ENDED[code](detail)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, Problem)
    return kind(
        status,
        str(document.get("title") or reason),
        detail,
        code=code,
        errors=errors,
        retry_after_s=retry_after_s(headers),
        request_id=document.get("request_id") or headers.get("X-Request-Id"),
    )


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that Retry-After asks for, as a number or as a date (RFC 9110, section 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])  # more than 30 years are as good as for ever
    with suppress(ValueError):
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
    return None
