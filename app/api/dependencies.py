"""What the routes need, out of the app's state."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.api.watch import JobWatch
from app.jobs.store import JobStore
from app.quota import ClientQuota
from app.settings import Settings
from app.storage.protocol import Storage


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _store(request: Request) -> JobStore:
    store: JobStore = request.app.state.store
    return store


async def _storage(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


async def _watch(request: Request) -> JobWatch:
    watch: JobWatch = request.app.state.watch
    return watch


async def _quota(request: Request) -> ClientQuota:
    quota: ClientQuota = request.app.state.quota
    return quota


SettingsDep = Annotated[Settings, Depends(_settings)]
StoreDep = Annotated[JobStore, Depends(_store)]
StorageDep = Annotated[Storage, Depends(_storage)]
WatchDep = Annotated[JobWatch, Depends(_watch)]
QuotaDep = Annotated[ClientQuota, Depends(_quota)]
