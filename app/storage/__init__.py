"""Where uploads and stems are kept: a folder, or a bucket that speaks S3, as the setting `storage` says.

Both kinds keep the promises of `Storage` (app/storage/protocol.py): a file appears whole or not at all, a job's
artifacts appear together and once, and nothing of a deleted job stays or comes back. Neither knows what its files
are called, beyond that a name is flat and lower-case, and that pictures stay out of the zip (manifest.py).
"""

from __future__ import annotations

from functools import lru_cache

from app.settings import Settings
from app.storage.local import LocalStorage
from app.storage.protocol import Storage, StorageUpkeep


def open_storage(settings: Settings) -> Storage:
    """Return the storage that the settings name. It connects with the first call that needs it.

    Not for a process that forks others: see `open_upkeep`.

    Raises
    ------
    ConfigurationError
        If the setting `storage` cannot be understood.
    """
    if not settings.storage:
        return LocalStorage(settings.data_dir)
    # Here, so that who forks (below) never loads obstore.
    from app.storage.s3 import S3Storage  # noqa: PLC0415

    return S3Storage(settings)


@lru_cache(maxsize=4)
def open_upkeep(settings: Settings) -> StorageUpkeep:
    """Return the upkeep of the storage that the settings name, for a process that forks others.

    Raises
    ------
    ConfigurationError
        If the setting `storage` cannot be understood.
    """
    if not settings.storage:
        return LocalStorage(settings.data_dir)
    from app.storage.apart import UpkeepApart  # noqa: PLC0415 - as above

    return UpkeepApart(settings)
