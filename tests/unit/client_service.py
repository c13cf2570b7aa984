"""What tests of the client talk to: the real app, meddled with; the tests themselves are its worker."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import soundfile

from app.api import events
from app.jobs.store import JobStore
from app.main import create_app
from app.settings import Settings
from app.storage.protocol import Storage
from duetto import _following, _retries
from tests.conftest import ServedApp
from tests.unit.meddling import Meddler
from tests.unit.test_app_api import MP4, finish

RATE = 8_000
RESULT = {
    "labels": {
        "left": {"instrument": "violin", "probability": 0.93, "source": "tagger"},
        "right": {"instrument": "acoustic_guitar", "probability": None, "source": "request"},
    },
    "tagger": "efficientnet-lite2",
    "separator": "report",
    "warnings": ["the recording is mono"],
}


def tone(side: str, seconds: float = 4.0) -> np.ndarray:
    """The sound of a side, [shape=(channels, samples), float32]."""
    t = np.arange(round(seconds * RATE)) / RATE
    return np.stack([np.sin(2 * np.pi * {"left": 440.0, "right": 660.0}[side] * t)] * 2).astype(np.float32)


def sound(side: str, stem_format: str, subtype: str) -> bytes:
    """The stem of a side; as a wav, 256 KiB."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(side).T, RATE, format=stem_format, subtype=subtype)
    return buffer.getvalue()


STEMS = {f"{side}.wav": sound(side, "WAV", "FLOAT") for side in ("left", "right")}
FLAC_STEMS = {f"{side}.flac": sound(side, "FLAC", "PCM_16") for side in ("left", "right")}
FILES = STEMS | {"result.json": json.dumps(RESULT).encode()}


@pytest.fixture
def meddler(settings: Settings) -> Meddler:
    """The real app, and what a test does to it."""
    return Meddler(create_app(settings))


@pytest.fixture
def url(meddler: Meddler, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where it answers; nobody waits long."""
    monkeypatch.setattr(_retries, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(_following, "SHORTEST_POLL_S", 0.0)
    monkeypatch.setattr(events, "_RECONNECT_MS", 10)
    with ServedApp(meddler) as url:
        yield url


@pytest.fixture
def client(make_client: Callable[..., Any], url: str) -> Iterator[Any]:
    """A client of the app, of the kind that the test is of."""
    with make_client(url) as client:
        yield client


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """An upload."""
    path = tmp_path / "duet.mp4"
    path.write_bytes(MP4 * 1000)
    return path


Done = Callable[[str], None]


@pytest.fixture
def done(store: JobStore, storage: Storage) -> Done:
    """Lets a queued job succeed."""
    return lambda job_id: finish(job_id, store, storage, FILES | FLAC_STEMS)
