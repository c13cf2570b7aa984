"""Names that may become part of a path or of an object's key: nothing else does, so none can leave its place."""

from __future__ import annotations

import re
from typing import Final

JOB_ID: Final = re.compile(r"[0-9a-f]{32}")
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}(\.[a-z0-9]{1,8})?")


def checked_id(job_id: str) -> str:
    """Return `job_id`. Raises `ValueError` if it is not 32 hexadecimal digits."""
    if not JOB_ID.fullmatch(job_id):
        raise ValueError(f"a job's id is 32 hexadecimal digits, not {job_id!r}")
    return job_id


def checked_key(key: str) -> str:
    """Return `key`. Raises `ValueError` if it is not a flat lower-case name."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"a storage key is a flat lower-case name like left.wav, not {key!r}")
    return key
