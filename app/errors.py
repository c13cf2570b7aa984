"""Everything that `app` raises on purpose, each with the HTTP status and the code that a client sees.

::

    DuettoError
    ├── ConfigurationError      500  a setting is missing or contradicts another
    ├── InvalidRequest          422  a field, option or query that cannot be used
    │   ├── UnknownInstrument        a name that is none of the eight
    │   ├── UnknownOption            a separator, tagger, format or number of bits that does not exist
    │   ├── UnknownField             a form field that does not exist
    │   ├── MissingInput             no file, or not all that belong together
    │   ├── ConflictingInput         files that exclude each other
    │   ├── NotAFile                 a file's field that came as text
    │   ├── EmptyFile                a file of no bytes
    │   ├── CorruptZip               a zip of frames that cannot be read
    │   ├── TooManyImages            more frames than the setting allows
    │   ├── InvalidCursor            a list cursor that this server did not make
    │   ├── UnusableWebhook          a webhook_url that nothing can or will be sent to
    │   ├── WebhooksDisabled         a webhook_url where the server has no secret to sign with
    │   └── IdempotencyKeyReused     a key of an earlier, different upload
    ├── MalformedBody           400  no multipart body, or a broken one
    ├── Unauthorized            401  no API key, a wrong one, or nobody may come from there
    ├── JobNotFound             404  no such job, or deleted
    ├── FilesGone               404  the job's folder, or one file of it, is not there
    ├── OtherFormat             404  a stem by a name that the job's format has not
    ├── IllegalTransition       409  the state machine has no such arrow
    ├── StemNotReady            409  asked for before the job succeeded
    ├── JobFailed               409  asked for stems of a job that failed
    ├── JobCanceled             409  asked for stems of a job that was canceled
    ├── JobExpired              410  the artifacts have been removed by age
    ├── BodyTooLarge            413  more bytes than the setting allows
    ├── UnsupportedMedia        415  a file whose first bytes are of no format that is taken
    ├── RangeNotSatisfiable     416  a Range that lies outside the file
    ├── QuotaExceeded           429  as many jobs of this client wait as the setting allows
    ├── QueueFull               503  as many jobs wait as the setting allows
    ├── BrokerUnavailable       503  Redis cannot be reached
    ├── BrokerFull              503  Redis has no memory left
    ├── ServerStopping          503  the server stops before the request is done
    ├── StorageUnavailable      503  the data folder cannot be written, or the bucket not be used
    └── StorageFull             507  no space left for an upload
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypedDict


class FieldError(TypedDict, total=False):
    """One entry of a problem's `errors`: which field (or code), and what is wrong with it."""

    field: str
    code: str
    message: str


class DuettoError(Exception):
    """Base of every error that `app` raises on purpose.

    Parameters
    ----------
    detail : what was wrong, what was wanted and what to do, for the user; never a path or a traceback
    errors : the same field by field, where more than one thing is wrong
    retry_after_s : seconds after which trying again makes sense
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The server failed"

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields that go with the answer."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


class ConfigurationError(DuettoError):
    """A setting is missing or contradicts another."""

    code = "configuration_error"
    title = "The server is not configured"


class InvalidRequest(DuettoError):  # noqa: N818 - named for what happened, here and below
    """A field, option or query that cannot be used."""

    status = 422
    code = "invalid_request"
    title = "The request cannot be used"


class UnknownInstrument(InvalidRequest):
    """The name is none of the eight instruments."""

    code = "unknown_instrument"
    title = "No such instrument"


class UnknownOption(InvalidRequest):
    """A separator, tagger, label rule or format that does not exist, or bits that the format does not have."""

    code = "unknown_option"
    title = "No such choice"


class UnknownField(InvalidRequest):
    """A form field that does not exist, or one that came twice."""

    code = "unknown_field"
    title = "A form field that is not known"


class MissingInput(InvalidRequest):
    """No file came, or not all that belong together."""

    code = "missing_input"
    title = "Nothing to work on"


class ConflictingInput(InvalidRequest):
    """Files that exclude each other."""

    code = "conflicting_input"
    title = "Files that exclude each other"


class NotAFile(InvalidRequest):
    """A field that takes a file came as text."""

    code = "not_a_file"
    title = "Text where a file belongs"


class EmptyFile(InvalidRequest):
    """A file of no bytes."""

    code = "empty_file"
    title = "An empty file"


class CorruptZip(InvalidRequest):
    """A zip of frames that is damaged, encrypted or without pictures."""

    code = "corrupt_zip"
    title = "A zip that cannot be read"


class TooManyImages(InvalidRequest):
    """More frames than the setting allows."""

    code = "too_many_images"
    title = "Too many pictures"


class InvalidCursor(InvalidRequest):
    """A list cursor that this server did not make."""

    code = "invalid_cursor"
    title = "A cursor that cannot be read"


class UnusableWebhook(InvalidRequest):
    """A `webhook_url` that is none, or that leads where nothing is sent."""

    code = "unusable_webhook"
    title = "A webhook address that cannot be used"


class WebhooksDisabled(InvalidRequest):
    """The server has no secret to sign webhooks with."""

    code = "webhooks_disabled"
    title = "This server sends no webhooks"


class IdempotencyKeyReused(InvalidRequest):
    """The Idempotency-Key came before, with other fields or files."""

    code = "idempotency_key_reused"
    title = "An idempotency key used for something else"


class MalformedBody(DuettoError):  # noqa: N818
    """No multipart body, or a broken one."""

    status = 400
    code = "malformed_body"
    title = "The body cannot be parsed"


class Unauthorized(DuettoError):  # noqa: N818
    """No API key came, one that is not known, or the server answers nobody without one from there."""

    status = 401
    code = "unauthorized"
    title = "An API key is needed"

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields that go with the answer (RFC 6750, section 3)."""
        return {**super().headers, "WWW-Authenticate": 'Bearer realm="duetto"'}


class JobNotFound(DuettoError):  # noqa: N818
    """No job has this id: never created, or deleted."""

    status = 404
    code = "job_not_found"
    title = "No such job"


class FilesGone(DuettoError):  # noqa: N818
    """The job's folder, or one file of it, is not there (any more)."""

    status = 404
    code = "files_gone"
    title = "No such file of this job"


class OtherFormat(DuettoError):  # noqa: N818
    """A stem was asked for by a name that it does not have in the job's format."""

    status = 404
    code = "other_format"
    title = "The stems have another format"


class IllegalTransition(DuettoError):  # noqa: N818
    """The job's state has no arrow to the one asked for."""

    status = 409
    code = "illegal_transition"
    title = "The job is in the wrong state for that"


class StemNotReady(DuettoError):  # noqa: N818
    """A stem or result was asked for before the job succeeded."""

    status = 409
    code = "stem_not_ready"
    title = "Not ready yet"


class JobFailed(DuettoError):  # noqa: N818
    """A stem or result was asked for of a job that failed."""

    status = 409
    code = "job_failed"
    title = "The job failed"


class JobCanceled(DuettoError):  # noqa: N818
    """A stem or result was asked for of a job that was canceled."""

    status = 409
    code = "job_canceled"
    title = "The job was canceled"


class JobExpired(DuettoError):  # noqa: N818
    """The job's artifacts have been removed by age."""

    status = 410
    code = "job_expired"
    title = "The stems have expired"


class BodyTooLarge(DuettoError):  # noqa: N818
    """The request body has more bytes than the setting allows."""

    status = 413
    code = "body_too_large"
    title = "The upload is too large"


class UnsupportedMedia(DuettoError):  # noqa: N818
    """A file whose first bytes are of no format that its field takes."""

    status = 415
    code = "unsupported_media"
    title = "A file of a format that is not taken"


class RangeNotSatisfiable(DuettoError):  # noqa: N818
    """A Range begins behind the end of the file, which has `size` bytes."""

    status = 416
    code = "range_not_satisfiable"
    title = "A range outside the file"

    def __init__(self, detail: str, size: int) -> None:
        super().__init__(detail)
        self.size = size

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields that go with the answer (RFC 9110, section 15.5.17)."""
        return {**super().headers, "Content-Range": f"bytes */{self.size}"}


class QuotaExceeded(DuettoError):  # noqa: N818
    """As many jobs of this client wait as the setting allows."""

    status = 429
    code = "quota_exceeded"
    title = "Too many jobs of yours wait"


class QueueFull(DuettoError):  # noqa: N818
    """As many jobs wait as the setting allows."""

    status = 503
    code = "queue_full"
    title = "The queue is full"


class BrokerUnavailable(DuettoError):  # noqa: N818
    """Redis cannot be reached."""

    status = 503
    code = "broker_unavailable"
    title = "The job queue cannot be reached"


class BrokerFull(DuettoError):  # noqa: N818
    """Redis has no memory left for another job."""

    status = 503
    code = "broker_full"
    title = "The job queue has no memory left"


class ServerStopping(DuettoError):  # noqa: N818
    """The server stops, and has waited for the request as long as it does."""

    status = 503
    code = "server_stopping"
    title = "The server is stopping"


class StorageUnavailable(DuettoError):  # noqa: N818
    """The data folder cannot be written, or the bucket cannot be used."""

    status = 503
    code = "storage_unavailable"
    title = "The storage cannot be written"


class StorageFull(DuettoError):  # noqa: N818
    """No space is left for an upload."""

    status = 507
    code = "storage_full"
    title = "The storage is full"
