"""A webhook from a real worker: told of the end, signed, shown in the job, and gone with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.media import write_wav
from tests.unit.signals import noise
from tests.unit.webhook_receiver import SECRET, receiving

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0


def test_the_end_of_a_job_is_told(
    http: httpx.Client,
    post: Callable[..., httpx.Response],
    finished: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    audio = write_wav(tmp_path / "duet.wav", noise(2, 24_000), 24_000, "PCM_16")
    with receiving() as receiver:
        receiver.answers = [(503, {})]
        job = finished(post({"audio": audio}, left="violin", right="trumpet", webhook_url=receiver.url()))
        # The second comes after the first pause of the schedule, 5 s.
        for _ in range(2):
            assert receiver.arrived.acquire(timeout=PATIENCE_S)
    assert job["state"] == "succeeded"
    (path, headers, body), (_, again, same) = receiver.seen
    message = Webhook(SECRET).verify(body, headers)
    assert (path, message["type"], body) == ("/hook", "job.succeeded", same)
    assert headers["webhook-id"] == again["webhook-id"]
    assert {**message["data"], "webhook": None} == {**job, "webhook": None}
    deadline = time.monotonic() + PATIENCE_S
    while (shown := http.get(job["links"]["self"]).json()["webhook"])["state"] == "pending":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert shown == {
        "state": "delivered", "attempts": 2, "last_status": 204, "last_error": None, "next_attempt_at": None,
    }  # fmt: skip
    assert http.delete(job["links"]["self"]).status_code == 204
