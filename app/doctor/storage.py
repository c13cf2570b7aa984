"""Looks at where files go: whether they can be written, and how much room there is."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.doctor.finding import Findings, ok, problem, warning
from app.errors import DuettoError
from app.settings import MIB, Settings
from app.storage import open_storage

STORAGE: Final = "storage"
_GIB: Final = 1 << 30
# Below so many of the largest uploads, a busy hour fills the disk; an upload and its stems take up to thrice its size.
_FEW_UPLOADS: Final = 10
_FEW_INODES: Final = 10_000


def check_storage(settings: Settings) -> Findings:
    """Look at the storage, and at the disk of the data folder."""
    where = settings.storage or str(settings.data_dir)
    was_there = settings.data_dir.exists()
    try:
        open_storage(settings).check_writable()
    except DuettoError as error:
        yield problem(STORAGE, f"{where}: {error.detail}")
    except OSError as error:
        yield problem(STORAGE, f"{where} cannot be written ({error.strerror}): choose another with DUETTO_DATA_DIR")
    else:
        yield ok(STORAGE, f"{where} can be written")
    if not was_there:
        # Doctor looks and leaves things as they are.
        with suppress(OSError):
            for folder in (*settings.data_dir.iterdir(), settings.data_dir):
                folder.rmdir()
    yield from _check_disk(settings)


def _check_disk(settings: Settings) -> Findings:
    folder = _existing(settings.data_dir)
    try:
        free = shutil.disk_usage(folder).free
        inodes = os.statvfs(folder)
    except OSError as error:
        yield problem("disk", f"{folder} tells nothing of its space ({error.strerror})")
        return
    largest = settings.max_upload_bytes
    text = f"{free / _GIB:.1f} GiB are free at {folder}"
    remedy = "make room, lower DUETTO_JOB_TTL_S, or lower DUETTO_MAX_UPLOAD_BYTES"
    if free < largest:
        yield problem("disk", f"{text}, less than the largest upload ({largest // MIB} MiB): {remedy}")
    elif free < _FEW_UPLOADS * largest:
        yield warning("disk", f"{text}, enough for {free // largest} of the largest uploads: {remedy}")
    else:
        yield ok("disk", text)
    # Zero in all: a file system that has no fixed number of them.
    if inodes.f_files and inodes.f_favail < _FEW_INODES:
        yield warning("disk", f"{inodes.f_favail} more files can be made at {folder}: remove some")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next((place for place in (folder, *folder.resolve().parents) if place.is_dir()), Path("/"))
