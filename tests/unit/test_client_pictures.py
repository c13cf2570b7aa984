"""Pictures through both clients: fetched where they are wanted, and never anywhere else."""

from __future__ import annotations

import gc
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import duetto
from app.commands import submit
from app.jobs.store import JobStore
from app.storage.protocol import Storage
from duetto._folder import Folder
from duetto._picture import pictures_of
from tests.both_clients import both_clients
from tests.unit.client_service import FILES, RESULT, STEMS, client, done, meddler, url, video
from tests.unit.test_app_api import finish
from tests.unit.test_submit import arguments, drive

__all__ = ["client", "done", "meddler", "url", "video"]

NAMES = ("frame", "mix")


def png(name: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), (len(name), 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


ENTRIES = [
    {"name": name, "url": f"pictures/{name}.png", "width": 30, "height": 20, "alt": f"A <{name}>.", "plot": None}
    for name in NAMES
]
DRAWN = {f"{name}.png": png(name) for name in NAMES}
WITH_PICTURES = STEMS | {"result.json": json.dumps(RESULT | {"pictures": ENTRIES}).encode()} | DRAWN


@pytest.fixture
def job(url: str, video: Path, store: JobStore, storage: Storage) -> duetto.Job:
    """A job that has succeeded, with two pictures."""
    with duetto.Client(url) as client:
        job = client.submit(video)
        finish(job.id, store, storage, WITH_PICTURES, pictures=list(DRAWN))
        return client.job(job)


@both_clients
def test_pictures_come_with_the_stems_if_they_are_asked_for(client: Any, job: duetto.Job, tmp_path: Path) -> None:
    duet = client.fetch(job, tmp_path / "with", pictures=True)
    assert [(one.name, one.alt, one.width, one.height) for one in duet.pictures] == [
        (name, f"A <{name}>.", 30, 20) for name in NAMES
    ]
    assert [one.path for one in duet.pictures] == [tmp_path / "with" / "pictures" / f"{name}.png" for name in NAMES]
    assert [one.path.read_bytes() for one in duet.pictures] == list(DRAWN.values())
    plain = client.fetch(job.id, tmp_path / "without")
    assert plain.pictures == ()
    assert sorted(path.name for path in (tmp_path / "without").iterdir()) == sorted(FILES)


@both_clients
def test_pictures_alone(client: Any, job: duetto.Job, tmp_path: Path) -> None:
    drawn = client.pictures(job, tmp_path / "out")
    assert [one.name for one in drawn] == list(NAMES)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pictures"]
    kept = client.pictures(job.id)[1]
    folder = kept.path.parent.parent
    gc.collect()
    assert kept.path.read_bytes() == DRAWN["mix.png"]
    del kept
    gc.collect()
    assert not folder.exists()


@both_clients
def test_a_server_that_knows_no_pictures(
    client: Any, video: Path, store: JobStore, storage: Storage, tmp_path: Path
) -> None:
    job = client.submit(video)
    finish(job.id, store, storage, FILES)
    assert client.pictures(job.id) == ()
    assert client.fetch(job, tmp_path, pictures=True).pictures == ()


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "../../evil", "width": 1, "height": 1},
        {"name": "a/b", "width": 1, "height": 1},
        {"name": "", "width": 1, "height": 1},
        {"name": "mix"},
        {"name": "mix", "width": "wide", "height": 1},
        "mix",
    ],
)
def test_what_is_no_picture_is_stored_nowhere(tmp_path: Path, entry: Any) -> None:
    with pytest.raises(duetto.InvalidAnswer, match="pictures that are none"):
        pictures_of({"pictures": [entry]}, Folder(tmp_path))


def test_a_duet_shows_itself_in_a_notebook(url: str, job: duetto.Job, tmp_path: Path) -> None:
    with duetto.Client(url) as client:
        duet = client.fetch(job, tmp_path, pictures=True)
    html = duet._repr_html_()
    assert "<b>acoustic guitar</b></td><td>named" in html
    assert "<b>violin</b></td><td>0.93" in html
    assert "<li>the recording is mono</li>" in html
    assert html.count('src="data:image/png;base64,') == 2
    assert 'alt="A &lt;frame&gt;."' in html
    assert duet.pictures[0]._repr_png_() == DRAWN["frame.png"]
    duet.pictures[0].path.unlink()
    assert duet.pictures[0]._repr_png_() is None
    assert duet._repr_html_().count("<img") == 1


def test_submit_brings_pictures(
    url: str, video: Path, tmp_path: Path, store: JobStore, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end() -> None:
        finish(store.list().jobs[0].id, store, storage, WITH_PICTURES, pictures=list(DRAWN))

    drive(monkeypatch, {"queued": end})
    assert submit.run(arguments(str(video), "--server", url, "-o", str(tmp_path / "out"), "--pictures")) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "pictures").iterdir()} == DRAWN
