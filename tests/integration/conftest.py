"""A whole service for the integration tests: broker, worker, API, as `duetto serve` starts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.stack import Stack, running_stack
from tests.unit.webhook_receiver import SECRET

Post = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service, with limits that tests can reach."""
    folder = tmp_path_factory.mktemp("service")
    settings = Settings(
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        port=0,
        workers=2,
        tagger="efficientnet-lite2",
        offline=True,
        max_duration_s=60.0,
        max_upload_bytes=32 << 20,
        redis_url=None,
        webhook_secret=SecretStr(SECRET),
        webhook_allow_private="127.0.0.0/8",
    )
    with running_stack(settings) as running:
        yield running


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=120.0, trust_env=False) as client:
        yield client


@pytest.fixture
def post(http: httpx.Client) -> Post:
    """Post files by field, with options; a list of paths is several files of one field."""

    def send(files: dict[str, Path | list[Path]], **options: str) -> httpx.Response:
        parts = [
            (field, (path.name, path.read_bytes()))
            for field, paths in files.items()
            for path in (paths if isinstance(paths, list) else [paths])
        ]
        return http.post("/v1/jobs", files=parts or None, data=options)

    return send


@pytest.fixture
def finished(http: httpx.Client) -> Callable[[httpx.Response], dict[str, Any]]:
    """Wait until the job that a response announces has ended, and return it."""

    def wait(accepted: httpx.Response) -> dict[str, Any]:
        assert accepted.status_code == 202, accepted.text
        for _ in range(10):
            job: dict[str, Any] = http.get(accepted.headers["Location"], params={"wait": 30}).json()
            if job["state"] not in ("queued", "running"):
                return job
        raise AssertionError(f"the job does not end: {job}")

    return wait
