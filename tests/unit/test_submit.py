"""`duetto submit` against the real API, and how progress reads where there is no terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import duetto
from app.commands import submit
from app.console import ProgressDisplay, console
from app.jobs.states import Stage
from app.jobs.store import JobStore
from app.storage.protocol import Storage
from tests.unit.client_service import FILES, Done, done, meddler, url, video
from tests.unit.meddling import Meddler

__all__ = ["done", "meddler", "url", "video"]


def arguments(*given: str) -> Any:
    parser = argparse.ArgumentParser()
    submit.add_arguments(parser)
    return parser.parse_args(given)


def drive(monkeypatch: pytest.MonkeyPatch, steps: dict[str, Callable[[], None]]) -> None:
    """Do something when the display shows a stage."""
    shown = ProgressDisplay.stage

    def stage(self: ProgressDisplay, name: str, *args: Any, **more: Any) -> None:
        shown(self, name, *args, **more)
        steps.pop(name, lambda: None)()

    monkeypatch.setattr(ProgressDisplay, "stage", stage)


def test_it_brings_both_stems_and_says_who_plays_what(
    url: str, video: Path, tmp_path: Path, store: JobStore, storage: Storage, done: Done,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    drive(monkeypatch, {"queued": lambda: done(store.list().jobs[0].id)})
    output = tmp_path / "stems"
    assert submit.run(arguments(str(video), "--server", url, "-o", str(output), "--right", "acoustic_guitar")) == 0
    assert {path.name: path.read_bytes() for path in output.iterdir()} == FILES
    assert store.list().jobs[0].options.right == "acoustic_guitar"
    captured = capsys.readouterr()
    words = captured.out.replace("│", " ").split()
    assert {"left", "violin", "0.93", "right", "acoustic", "guitar"} <= set(words)
    assert "the recording is mono" in captured.out
    lines = [line.split("  ")[-1] for line in captured.err.splitlines()]
    assert [line for line in lines if line != "reading the file"] == [  # it may run for a moment
        "uploading",
        "waiting in the queue",
        "separated",
        "fetching the stems",
    ]


def test_it_tells_why_it_waits(
    url: str, meddler: Meddler, video: Path, tmp_path: Path, store: JobStore, done: Done,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    meddler.refuse = [(503, {"Retry-After": "0"}, '{"code": "queue_full", "detail": "50 jobs wait already"}')]
    drive(monkeypatch, {"queued": lambda: done(store.list().jobs[0].id)})
    submit.run(arguments(str(video), "--server", url, "-o", str(tmp_path / "stems")))
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert any(line.endswith("waiting for the server: 50 jobs wait already (queue_full 503)") for line in lines)


def test_an_output_that_is_a_file(url: str, meddler: Meddler, video: Path) -> None:
    with pytest.raises(duetto.UnusableFile, match="is a file; choose a folder"):
        submit.run(arguments(str(video), "--server", url, "-o", str(video)))
    assert meddler.seen == []


def test_interrupted_it_cancels_the_job(
    url: str, video: Path, tmp_path: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin() -> None:
        job_id = store.list().jobs[0].id
        store.start(job_id)
        store.progress(job_id, Stage.SEPARATE, 0.6)

    def interrupt() -> None:
        raise KeyboardInterrupt

    drive(monkeypatch, {"queued": begin, "separate": interrupt})
    with pytest.raises(KeyboardInterrupt):
        submit.run(arguments(str(video), "--server", url, "-o", str(tmp_path / "stems")))
    assert store.list().jobs[0].cancel_requested


@pytest.mark.parametrize(
    ("feed", "line"),
    [
        (lambda display: display.stage("upload", 1.0), "100%  uploading"),
        (lambda display: display.stage("queued", 0.0, queue_position=3), "  0%  waiting in the queue"),
        (lambda display: display.stage("encode", 1.2, eta_s=9.0), "100%  writing the stems"),
        (lambda display: display.stage("paused", 0.5, note="full [/]"), " 50%  waiting for the server: full [/]"),
        (lambda display: display.stage("unheard-of", 0.5), " 50%  unheard-of"),
    ],
)
def test_progress_without_a_terminal_is_one_line_a_stage(
    tmp_path: Path, feed: Callable[[ProgressDisplay], None], line: str
) -> None:
    with (tmp_path / "log").open("w+") as log:
        with ProgressDisplay(console(log)) as display:
            feed(display)
            feed(display)
        log.seek(0)
        assert log.read() == f"{line}\n"
