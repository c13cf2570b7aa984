"""From exception to what the user sees: never a path, never a traceback, always what to do."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError

from app.errors import FilesGone, StorageFull, StorageUnavailable
from app.jobs.states import Stage
from models.errors import InvalidAudio, InvalidBases, InvalidPicture, Stopped, UnknownInstrument, WeightsUnavailable
from worker import errors
from worker.failures import public_error

PRIVATE = "/srv/secret/place/file.bin"
OWN = [
    kind for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.JobFailure) and kind is not errors.JobFailure
]  # fmt: skip


@pytest.mark.parametrize("kind", OWN)
def test_every_failure_of_the_worker_keeps_its_code_and_tells_what_to_do(kind: type[errors.JobFailure]) -> None:
    seen = public_error(kind(), Stage.TAG)
    assert (seen.code, seen.retryable, seen.stage) == (kind.code, kind.retryable, Stage.TAG)
    assert seen.message.count(".") >= 2
    assert "/" not in seen.message


def test_codes_are_all_different() -> None:
    assert len({kind.code for kind in OWN}) == len(OWN) >= 13


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (Stopped("stopped"), "canceled", False),
        (FilesGone("gone"), "job_gone", False),
        (MemoryError(), "out_of_memory", True),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "out_of_memory",
            True,
        ),
        (SoftTimeLimitExceeded(), "time_limit", False),
        (TimeLimitExceeded(3), "time_limit", False),
        (WorkerLostError(PRIVATE), "worker_lost", True),
        (InvalidAudio(PRIVATE), "media_unreadable", False),
        (InvalidPicture(PRIVATE), "no_picture", False),
        (InvalidBases(PRIVATE), "model_unavailable", True),
        (WeightsUnavailable(PRIVATE), "model_unavailable", True),
        (UnknownInstrument("no instrument is called 'banjo'"), "not_separable", False),
        (StorageFull("full"), "storage_full", True),
        (OSError(errno.ENOSPC, "No space left on device", PRIVATE), "storage_full", True),
        (StorageUnavailable("the data folder cannot be written"), "storage_unavailable", True),
        (OSError(errno.EIO, "Input/output error", PRIVATE), "internal_error", True),
        (KeyError(PRIVATE), "internal_error", True),
        (ZeroDivisionError("division by zero"), "internal_error", True),
    ],
)
def test_what_others_raise(error: Exception, code: str, retryable: bool) -> None:
    seen = public_error(error)
    assert (seen.code, seen.retryable) == (code, retryable)
    assert PRIVATE not in seen.message
    assert "Traceback" not in seen.message
    assert len(seen.message) > 20


def test_every_error_of_the_models_is_decided_on() -> None:
    source = Path(public_error.__code__.co_filename).read_text(encoding="utf-8")
    assert "ModelsError" in source, "the base of the models' tree must have a branch of its own"
