"""A bucket that speaks S3, by obstore: the few requests that the storage makes, with our own errors.

obstore keeps threads of its own, which a fork does not take along: after one, every call in the child hangs. So a
process that forks others must not use this (app/storage/apart.py).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from app.errors import ConfigurationError, StorageFull, StorageUnavailable
from app.settings import Settings

logger = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 5
# A request moves a block of some MiB at most; one that takes longer than this has failed.
_REQUEST_TIMEOUT_S: Final = 60
_CONNECT_TIMEOUT_S: Final = 5
_RETRIES: Final = 3
_RETRY_FOR_S: Final = 20
_DELETED_AT_ONCE: Final = 1000  # S3's limit for one request
# Codes by which servers say that there is no more room; AWS has none, its buckets have no end.
_FULL: Final = ("QuotaExceeded", "StorageFull", "InsufficientStorage", "status code: 507")
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w{1,60})</Code>")
# What obstore reads an endpoint from, where none is set here.
_ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of the bucket: its key below the prefix, its bytes, when it was written (seconds since the epoch)."""

    key: str
    size: int
    written_at: float


class Bucket:
    """What lies in a bucket below a prefix. All methods block, and raise `StorageUnavailable` if it cannot be used.

    Raises
    ------
    ConfigurationError
        If the setting `storage` is no address of a bucket.
    """

    def __init__(self, settings: Settings) -> None:
        name, prefix = parse_address(settings.storage or "")
        secret = settings.s3_secret_access_key
        config: dict[str, Any] = {
            "endpoint": settings.s3_endpoint,
            "region": settings.s3_region,
            "access_key_id": settings.s3_access_key_id,
            "secret_access_key": secret.get_secret_value() if secret else None,
            "virtual_hosted_style_request": settings.s3_virtual_hosts or None,
        }
        endpoint = settings.s3_endpoint or next(filter(None, map(os.environ.get, _ENDPOINT_VARIABLES)), "")
        self._store = S3Store(
            name,
            prefix=prefix or None,
            # What is not set here, obstore takes from the AWS_ variables.
            config={key: value for key, value in config.items() if value},  # type: ignore[arg-type]
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "timeout": timedelta(seconds=_REQUEST_TIMEOUT_S),
                "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_FOR_S)},
        )

    def put(self, key: str, data: bytes) -> None:
        """Write an object, all of it or nothing. Raises `StorageFull` if there is no more room."""
        with _bucket_errors():
            self._store.put(key, data, use_multipart=False)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one. Return whether there was none. Raises `StorageFull` as `put`."""
        with _bucket_errors():
            try:
                self._store.put(key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, None if there is no such object."""
        with _bucket_errors():
            try:
                return bytes(self._store.get(key).bytes())
            except FileNotFoundError as error:
                _check_bucket_is_there(error)
                return None

    def get_range(self, key: str, start: int, stop: int) -> bytes | None:
        """Return an object's bytes from `start` up to `stop`, None if there is no such object."""
        with _bucket_errors():
            try:
                return bytes(self._store.get_range(key, start=start, end=stop))
            except FileNotFoundError as error:
                _check_bucket_is_there(error)
                return None

    def copy(self, key: str, to: str) -> bool:
        """Copy an object within the bucket. Return whether there was one. Raises `StorageFull` as `put`."""
        with _bucket_errors():
            try:
                self._store.copy(key, to)
            except FileNotFoundError as error:
                _check_bucket_is_there(error)
                return False
        return True

    def list(self, folder: str) -> Iterator[Entry]:
        """Yield all objects below `folder`, in the order of their keys where the server keeps to S3's order."""
        with _bucket_errors():
            for chunk in self._store.list(folder):
                for meta in chunk:
                    yield Entry(meta["path"], meta["size"], meta["last_modified"].timestamp())

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, those of them that are there."""
        with _bucket_errors():
            for start in range(0, len(keys), _DELETED_AT_ONCE):
                self._store.delete(keys[start : start + _DELETED_AT_ONCE])


def parse_address(address: str) -> tuple[str, str]:
    """Return bucket and prefix of ``s3://bucket/prefix``. Raises `ConfigurationError` if it is none."""
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            "DUETTO_STORAGE must be s3://BUCKET or s3://BUCKET/PREFIX, without a key in it, or unset: files then lie "
            "in DUETTO_DATA_DIR. The server's address is DUETTO_S3_ENDPOINT."
        )
    return parts.netloc, parts.path.strip("/")


def _check_bucket_is_there(error: FileNotFoundError) -> None:
    if "NoSuchBucket" in str(error):
        raise error


@contextmanager
def _bucket_errors() -> Iterator[None]:
    """Turn obstore's errors into ours. The client learns what to do; the log, what the server said in its own code."""
    try:
        yield
    except (BaseError, FileNotFoundError, OSError) as error:
        text = str(error)
        status, code = _STATUS.search(text), _CODE.search(text)
        said = f"{status[1] if status else 'no answer'} {code[1] if code else ''}".strip()
        logger.warning("the object storage failed: %s (%s)", type(error).__name__, said)
        # `from None`: the text has the server's address, the key's id and whatever else the server answers.
        if any(word in text for word in _FULL):
            raise StorageFull(
                "no space is left in the object storage; ask the operator for space, or delete jobs that are done"
            ) from None
        raise StorageUnavailable(_advice(text, status[1] if status else ""), retry_after_s=RETRY_AFTER_S) from None


def _advice(text: str, status: str) -> str:
    if "NoSuchBucket" in text:
        return "the object storage has no such bucket; the operator must make it, or correct DUETTO_STORAGE"
    if status in {"401", "403"}:
        return "the object storage refuses the server's key; the operator must see to the key and its rights"
    if not status:
        return "the object storage cannot be reached; try again in a moment"
    return f"the object storage answers {status}; try again in a moment, and tell the operator if it stays"
