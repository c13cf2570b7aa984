"""What the routes need, out of the app's state."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.jobs.store import JobStore
from app.queue import JobQueue
from app.settings import Settings
from app.storage import LocalStorage


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _store(request: Request) -> JobStore:
    store: JobStore = request.app.state.store
    return store


async def _storage(request: Request) -> LocalStorage:
    storage: LocalStorage = request.app.state.storage
    return storage


async def _queue(request: Request) -> JobQueue:
    queue: JobQueue = request.app.state.queue
    return queue


SettingsDep = Annotated[Settings, Depends(_settings)]
StoreDep = Annotated[JobStore, Depends(_store)]
StorageDep = Annotated[LocalStorage, Depends(_storage)]
QueueDep = Annotated[JobQueue, Depends(_queue)]
