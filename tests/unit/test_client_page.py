"""docs/client.md is true: its programs run, and it names all that there is."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import duetto
from app.jobs.states import JobState
from app.jobs.store import JobStore
from tests.unit.client_service import Done, done, meddler, tone, url, video

__all__ = ["done", "meddler", "url", "video"]

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")


@pytest.fixture
def worker(store: JobStore, done: Done) -> Iterator[None]:
    """Somebody who lets every job succeed."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            for job in store.list(state=JobState.QUEUED).jobs:
                done(job.id)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.usefixtures("worker")
def test_its_programs_run(
    url: str, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.mp4").write_bytes(video.read_bytes())
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(programs) == 6
    names: dict[str, object] = {}
    for program in programs:
        # The page's server is the default one, at a port that a test cannot have.
        text = program.replace('"http://127.0.0.1:8000"', "").replace("Client()", f"Client({url!r})")
        exec(compile(text, "docs/client.md", "exec"), names)  # noqa: S102 - our own page
    samples = names["samples"]
    assert isinstance(samples, np.ndarray)
    assert np.abs(samples - tone("left")).max() <= 2.0**-15
    assert {"left.wav", "right.wav", "result.json"} == {path.name for path in (tmp_path / "stems").iterdir()}
    lines = capsys.readouterr().out.splitlines()
    assert "violin stems/left.wav acoustic_guitar stems/right.wav" in lines
    assert "['violin', 'violin']" in lines
    assert lines[-1].startswith("`left`: no instrument is called 'piano'; the eight are accordion")


def test_it_names_all_that_there_is() -> None:
    named = set(re.findall(r"[A-Za-z_]+", " ".join(re.findall(r"`[^`\n]+`", PAGE))))
    public = set(duetto.__all__) - {"DEFAULT_SERVER", "__version__"}
    assert public - named == set()
    methods = {name for name in vars(duetto.Client) if not name.startswith("_")}
    assert methods - named == set()
    assert {name for name in vars(duetto.AsyncClient) if not name.startswith("_")} == methods
    assert set(duetto.Options.__annotations__) - named == set()
