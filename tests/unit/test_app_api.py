"""The HTTP contract over a real socket and a real Valkey. No worker runs; the tests move jobs by the store."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from app.jobs.record import JobError
from app.jobs.states import Stage
from app.jobs.store import JobStore
from app.main import create_app
from app.queue import QUEUE_NAME, TASK_NAME
from app.settings import Settings
from app.stem_names import artifact_names
from app.storage.protocol import Storage
from tests.conftest import ServedApp
from tests.storages import Stored, both_storages, read_upload

# The first bytes of formats; what follows is the worker's to judge.
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(1000)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(1000)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
VIDEO = {"video": ("duet.mp4", MP4)}


def post(client: httpx.Client, files: Any = None, **data: str) -> dict[str, Any]:
    response = client.post("/v1/jobs", files=files or VIDEO, data=data)
    assert response.status_code == 202, response.text
    body: dict[str, Any] = response.json()
    return body


def finish(
    job_id: str,
    store: JobStore,
    storage: Storage,
    files: Mapping[str, bytes] | None = None,
    pictures: Sequence[str] = (),
) -> None:
    store.start(job_id)
    with storage.scratch(job_id) as scratch:
        for name in (*artifact_names(store.get(job_id).options.format), *pictures):
            content = b'{"labels": {}}' if name == "result.json" else name.encode() * 100
            (scratch / name).write_bytes((files or {}).get(name, content))
        assert storage.publish(job_id, scratch)
    store.succeed(job_id)


@both_storages
def test_posting_a_video(client: httpx.Client, redis_client: redis.Redis, storage: Storage) -> None:
    response = client.post("/v1/jobs", files=VIDEO, data={"left": "violin", "tagger": "efficientnet-lite2"})
    assert response.status_code == 202
    job = response.json()
    assert response.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert int(response.headers["Retry-After"]) > 0
    assert datetime.fromisoformat(job.pop("created_at")).utcoffset() is not None
    assert job == {
        "id": job["id"],
        "state": "queued",
        "stage": None,
        "progress": 0.0,
        "eta_seconds": None,
        "queue_position": 0,
        "started_at": None,
        "finished_at": None,
        "expired_at": None,
        "webhook": None,
        "attempts": 0,
        "cancel_requested": False,
        "options": {
            "left": "violin",
            "right": None,
            "separator": "auto",
            "tagger": "efficientnet-lite2",
            "labels": "auto",
            "format": "wav",
            "bits": 32,
        },
        "input": {"kind": "video", "title": "duet.mp4"},
        "error": None,
        "links": {
            "self": f"/v1/jobs/{job['id']}",
            "cancel": f"/v1/jobs/{job['id']}/cancel",
            "result": None,
            "left": None,
            "right": None,
            "stems": None,
            "video": f"/v1/jobs/{job['id']}/video",
            "events": f"/v1/jobs/{job['id']}/events",
        },
    }
    assert read_upload(storage, job["id"], "video.mp4") == MP4
    (message,) = redis_client.lrange(QUEUE_NAME, 0, -1)
    headers = json.loads(message)["headers"]
    assert (headers["task"], headers["id"]) == (TASK_NAME, job["id"])


@both_storages
def test_posting_pictures_and_sound(client: httpx.Client, store: JobStore, storage: Storage) -> None:
    files = [("frames", (f"{n}.png", PNG)) for n in (1, 2, 3)] + [("audio", ("duo.wav", WAV))]
    job = post(client, files)
    assert job["input"] == {"kind": "frames", "title": "duo.wav"}
    record = store.get(job["id"]).input
    assert record.frames == ("frame-000001.png", "frame-000002.png", "frame-000003.png")
    assert read_upload(storage, job["id"], record.frames[2]) == PNG
    assert read_upload(storage, job["id"], "audio.wav") == WAV


def test_posting_sound_with_both_names(client: httpx.Client, store: JobStore) -> None:
    job = post(client, {"audio": ("duo.wav", WAV)}, left="Acoustic Guitar", right="flute")
    record = store.get(job["id"])
    assert (record.input.kind, record.options.left) == ("audio", "acoustic_guitar")


def test_empty_form_fields_are_fields_not_given(client: httpx.Client) -> None:
    """A browser sends every input of a form, chosen or not."""
    files = {"video": ("duet.mp4", MP4), "audio": ("", b""), "frames": ("", b"")}
    job = post(client, files, left="", right="", separator="", tagger="", labels="")
    assert job["options"] == {
        "left": None,
        "right": None,
        "separator": "auto",
        "tagger": "auto",
        "labels": "auto",
        "format": "wav",
        "bits": 32,
    }
    assert job["input"]["kind"] == "video"


def test_a_hostile_file_name_is_a_title_only(client: httpx.Client, settings: Settings) -> None:
    job = post(client, {"video": ("../../../etc/passwd", MP4)})
    assert job["input"]["title"] == "passwd"
    stored = [path for path in settings.data_dir.parent.rglob("*") if path.is_file()]
    assert stored == [settings.data_dir / "jobs" / job["id"] / "upload" / "video.mp4"]


def test_looking_at_a_running_job(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)["id"]
    store.start(job_id)
    store.progress(job_id, Stage.SEPARATE, 0.5)
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["stage"], job["progress"], job["attempts"]) == ("running", "separate", 0.5, 1)
    assert job["eta_seconds"] >= 0
    assert job["queue_position"] is None


def test_the_queue_position_counts_those_ahead(client: httpx.Client, store: JobStore) -> None:
    first, second = post(client)["id"], post(client)["id"]
    assert client.get(f"/v1/jobs/{second}").json()["queue_position"] == 1
    store.start(first)
    assert client.get(f"/v1/jobs/{second}").json()["queue_position"] == 0


def test_the_etag_changes_with_the_job(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)["id"]
    tag = client.get(f"/v1/jobs/{job_id}").headers["ETag"]
    unchanged = client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    store.start(job_id)
    changed = client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["state"]) == (200, "running")
    assert changed.headers["ETag"] != tag


def test_waiting_ends_with_the_job(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)["id"]
    store.start(job_id)
    timer = threading.Timer(0.3, store.fail, (job_id, JobError(code="silent", message="the recording is silent")))
    timer.start()
    job = client.get(f"/v1/jobs/{job_id}", params={"wait": 30}).json()
    timer.join()
    assert (job["state"], job["error"]["code"]) == ("failed", "silent")


def test_waiting_with_an_etag_ends_with_a_change(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)["id"]
    store.start(job_id)
    tag = client.get(f"/v1/jobs/{job_id}").headers["ETag"]
    timer = threading.Timer(0.3, store.progress, (job_id, Stage.TAG, 0.25))
    timer.start()
    response = client.get(f"/v1/jobs/{job_id}", params={"wait": 30}, headers={"If-None-Match": tag})
    timer.join()
    assert (response.status_code, response.json()["progress"]) == (200, 0.25)


def test_a_wait_that_is_too_long_is_cut(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings.model_copy(update={"max_wait_s": 0.1}))
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        job_id = post(client)["id"]
        assert client.get(f"/v1/jobs/{job_id}", params={"wait": 86400}).json()["state"] == "queued"


def test_many_waiting_clients_do_not_block_the_others(client: httpx.Client, store: JobStore) -> None:
    job_id = post(client)["id"]
    url = str(client.base_url.join(f"/v1/jobs/{job_id}"))
    # More than the thread pool has threads (40): each waiting in one would leave none for the rest.
    states: list[str] = []
    waiters = [
        threading.Thread(target=lambda: states.append(httpx.get(url, params={"wait": 30}, timeout=60).json()["state"]))
        for _ in range(50)
    ]
    for waiter in waiters:
        waiter.start()
    assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    for waiter in waiters:
        waiter.join()
    assert states == ["canceled"] * 50


def test_listing(client: httpx.Client, store: JobStore) -> None:
    ids = [post(client)["id"] for _ in range(3)]
    store.start(ids[0])
    first = client.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in first["jobs"]] == [ids[2], ids[1]]
    assert [job["queue_position"] for job in first["jobs"]] == [1, 0]
    last = client.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert ([job["id"] for job in last["jobs"]], last["next_cursor"]) == ([ids[0]], None)
    running = client.get("/v1/jobs", params={"state": "running"}).json()
    assert [job["id"] for job in running["jobs"]] == [ids[0]]


def test_canceling(client: httpx.Client, store: JobStore) -> None:
    queued, running = post(client)["id"], post(client)["id"]
    store.start(running)
    assert client.post(f"/v1/jobs/{queued}/cancel").json()["state"] == "canceled"
    asked = client.post(f"/v1/jobs/{running}/cancel").json()
    assert (asked["state"], asked["cancel_requested"]) == ("running", True)
    assert store.cancel_requested(running)


@both_storages
@pytest.mark.parametrize("run", [False, True])
def test_deleting_leaves_nothing(
    client: httpx.Client, store: JobStore, storage: Storage, stored: Stored, run: bool
) -> None:
    job_id = post(client)["id"]
    if run:
        finish(job_id, store, storage)
    response = client.delete(f"/v1/jobs/{job_id}")
    assert (response.status_code, response.content) == (204, b"")
    assert stored() == []
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404
    assert client.get("/v1/jobs").json()["jobs"] == []


@both_storages
def test_downloading(client: httpx.Client, store: JobStore, storage: Storage) -> None:
    job_id = post(client)["id"]
    finish(job_id, store, storage)
    links = client.get(f"/v1/jobs/{job_id}").json()["links"]
    assert links["cancel"] is None
    for side in ("left", "right"):
        whole = client.get(links[side])
        assert (whole.status_code, whole.content) == (200, f"{side}.wav".encode() * 100)
        assert whole.headers["Content-Type"] == "audio/wav"
        assert whole.headers["Content-Disposition"] == f'attachment; filename="{side}.wav"'
        assert whole.headers["X-Content-Type-Options"] == "nosniff"
        part = client.get(links[side], headers={"Range": "bytes=10-19", "If-Range": whole.headers["ETag"]})
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
        head = client.head(links[side])
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(whole.content))
        assert client.get(links[side], headers={"Range": "bytes=100000-"}).status_code == 416
    result = client.get(links["result"])
    assert (result.headers["Content-Type"], result.json()) == ("application/json", {"labels": {}})


def test_the_system_routes(client: httpx.Client) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    ready = client.get("/readyz").json()
    assert (ready["status"], ready["checks"]) == ("ready", {"broker": "ok", "storage": "ok"})
    assert set(client.get("/version").json()) == {"name", "version", "api", "python"}
    instruments = client.get("/v1/instruments").json()
    assert len(instruments) == 8
    assert instruments[1] == {
        "index": 1,
        "name": "acoustic_guitar",
        "label": "Acoustic guitar",
        "imagenet_id": 402,
        "imagenet_name": "acoustic guitar",
    }


def test_openapi_shows_the_choices_and_the_problems(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/jobs"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    options = {"again", "left", "right", "separator", "tagger", "labels", "format", "bits", "webhook_url"}
    assert set(form) == {"video", "frames", "audio"} | options
    assert len(form["left"]["enum"]) == 8
    assert {"202", "400", "413", "415", "422", "503", "507"} <= set(operation["responses"])
    assert "example" in document["components"]["schemas"]["JobView"]
    for path, operations in document["paths"].items():
        for method, described in operations.items():
            assert described["summary"], (method, path)
            for code, response in described["responses"].items():
                if int(code) in {200, 202, 204, 206, 304, 416}:
                    continue
                assert list(response["content"]) == ["application/problem+json"], (method, path, code)
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    defined = set(document["components"]["schemas"])
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= defined
    assert client.get("/docs").status_code == 200


def test_the_document_lists_every_problem(client: httpx.Client) -> None:
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    rows = {tuple(row.split("|")[1:3]) for row in text.splitlines() if row.startswith("|")}
    documented = {(cells[0].strip(), cells[1].strip().strip("`")) for cells in rows}
    kinds = client.get("/v1/problems").json()
    assert {(str(kind["status"]), kind["code"]) for kind in kinds} == {row for row in documented if row[0].isdigit()}
