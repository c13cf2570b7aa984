"""From an exception to what the user sees: the one function that decides."""

from __future__ import annotations

import errno
import logging

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError

from app.errors import ConfigurationError, FilesGone, StorageFull, StorageUnavailable
from app.jobs.record import JobError
from app.jobs.states import Stage
from models.errors import (
    DeviceUnavailable,
    InvalidAudio,
    InvalidBases,
    InvalidPicture,
    ModelsError,
    PlayersAlike,
    PlayersUnclear,
    Stopped,
    WeightsUnavailable,
)
from worker.errors import (
    Canceled,
    JobFailure,
    JobGone,
    MediaUnreadable,
    NoPicture,
    OutOfMemory,
    PluginUnusable,
    TimeLimit,
    WorkerLost,
)

logger = logging.getLogger(__name__)

_UNEXPECTED = (
    "Something went wrong that should not have. Try again; if it fails again, report it with the job's id, "
    "under which the operator finds the details in the worker's log."
)

INTERNAL = ("internal_error", _UNEXPECTED, True)


def public_error(error: BaseException, stage: Stage | None = None) -> JobError:
    """Return the failure as its user may see it: no path, no traceback."""
    failure = _failure(error)
    if isinstance(failure, PluginUnusable):
        # For the operator; one that fails at work has said so itself (worker/plugins/guards.py).
        logger.error("a plugin cannot be used", exc_info=failure)
    if isinstance(failure, JobFailure):
        return JobError(code=failure.code, message=failure.message, stage=stage, retryable=failure.retryable)
    code, message, retryable = failure
    if code == "internal_error":
        logger.error("unexpected failure", exc_info=error)
    return JobError(code=code, message=message, stage=stage, retryable=retryable)


def is_expected(error: BaseException) -> bool:
    """Return whether the error has a message of its own for the user."""
    return _failure(error) != INTERNAL


def _failure(error: BaseException) -> JobFailure | tuple[str, str, bool]:
    """The failure, or its code, message and whether to try again."""
    found: JobFailure | tuple[str, str, bool] = INTERNAL
    if isinstance(error, JobFailure):
        found = error
    elif same := next((failure for kinds, failure in _SAME_AS if isinstance(error, kinds)), None):
        found = same
    elif isinstance(error, RuntimeError) and "alloc" in str(error) and "memory" in str(error):
        # What torch raises when its allocator fails; NumPy raises a MemoryError.
        found = OutOfMemory()
    elif isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in _FULL):
        found = ("storage_full", _STORAGE_FULL, True)
    elif isinstance(error, StorageUnavailable):
        found = ("storage_unavailable", str(error), True)
    elif isinstance(error, WeightsUnavailable | InvalidBases | DeviceUnavailable | ConfigurationError):
        # The operator's to mend; the models' message names files of the installation, not of the user.
        found = ("model_unavailable", _MODEL_UNAVAILABLE, True)
    elif isinstance(error, PlayersUnclear):
        text = str(error)
        found = ("players_unclear", f"{text[:1].upper()}{text[1:]}.", False)
    elif isinstance(error, PlayersAlike):
        found = ("same_instrument", _ALIKE.format(error), False)
    elif isinstance(error, ModelsError):
        # What else the models raise is about the sound, the pictures or the names, in the user's own terms.
        found = ("not_separable", f"The recording cannot be separated: {error}.", False)
    return found


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_STORAGE_FULL = "The server has no space left for the stems. Try again later, or ask its operator for space."
_MODEL_UNAVAILABLE = (
    "The server lacks a model that this job needs. Choose another tagger or separator, "
    "name both instruments, or ask the server's operator to look at the worker's log."
)
_ALIKE = (
    "Both sides are named alike, and {}: nothing tells the two players' sounds apart. Give a stereo recording in which "
    "one is heard from the left and one from the right; or, if they play different instruments, name both of them."
)
_SAME_AS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], JobFailure], ...] = (
    (Stopped, Canceled()),
    (FilesGone, JobGone()),
    (MemoryError, OutOfMemory()),
    ((SoftTimeLimitExceeded, TimeLimitExceeded), TimeLimit()),
    (WorkerLostError, WorkerLost()),
    (
        InvalidAudio,
        MediaUnreadable(
            "The sound holds samples that are no numbers, or far beyond full scale. Export it anew and upload that."
        ),
    ),
    (InvalidPicture, NoPicture()),
)
