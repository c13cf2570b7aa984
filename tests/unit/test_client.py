"""The client and `duetto submit`, against a small real HTTP server (job_server.py)."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app import client as client_module
from app.client import (
    DuettoClient,
    InvalidAnswer,
    JobNotSucceeded,
    ProblemError,
    ServerUnreachable,
    UnusableFile,
)
from app.commands import submit
from app.console import ProgressDisplay, console
from tests.unit.job_server import JOB_ID, RESULT, STEM, Server, handler_of, job_document


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(states=[job_document("succeeded", progress=1.0)])
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server)) as listening:
        server.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        listening.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[DuettoClient]:
    monkeypatch.setattr(client_module, "FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(client_module, "SHORTEST_POLL_S", 0.0)
    with DuettoClient(server.url) as client:
        yield client


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "duet.mp4"
    path.write_bytes(b"moving pictures" * 10_000)
    return path


def test_submit_sends_the_file_and_only_the_options_given(server: Server, client: DuettoClient, video: Path) -> None:
    reports: list[tuple[int, int]] = []
    job = client.submit(video, left="violin", on_upload=lambda sent, total: reports.append((sent, total)))
    assert (job.id, job.state, job.queue_position, job.title) == (JOB_ID, "queued", 0, "duet.mp4")
    assert server.form == {"video": [("duet.mp4", video.read_bytes())], "left": [(None, b"violin")]}
    size = video.stat().st_size
    assert reports[-1] == (size, size)
    assert reports == sorted(reports)


def test_submit_frames_with_audio(server: Server, client: DuettoClient, tmp_path: Path) -> None:
    frames = [tmp_path / f"{number}.jpg" for number in range(3)]
    for frame in frames:
        frame.write_bytes(frame.name.encode())
    audio = tmp_path / "mix.wav"
    audio.write_bytes(b"sound")
    client.submit(frames=frames, audio=audio)
    assert server.form == {
        "frames": [(frame.name, frame.name.encode()) for frame in frames],
        "audio": [("mix.wav", b"sound")],
    }


def test_submit_of_a_missing_file_or_a_folder_sends_nothing(
    server: Server, client: DuettoClient, tmp_path: Path
) -> None:
    with pytest.raises(UnusableFile, match="No such file"):
        client.submit(tmp_path / "none.mp4")
    with pytest.raises(UnusableFile, match="is a folder"):
        client.submit(tmp_path)
    assert server.seen == []


def test_submit_is_repeated_under_one_key(server: Server, client: DuettoClient, video: Path) -> None:
    server.refuse = [(503, {"Retry-After": "0"}, '{"code": "queue_full", "detail": "try later"}'), (502, {}, "?")]
    reports: list[tuple[int, int]] = []
    assert client.submit(video, on_upload=lambda sent, total: reports.append((sent, total))).id == JOB_ID
    assert len(server.seen) == 3
    assert len(set(server.idempotency_keys)) == 1
    assert server.form == {"video": [("duet.mp4", video.read_bytes())]}, "whole, the third time too"
    assert reports[-1] == (video.stat().st_size, video.stat().st_size)
    client.submit(video)
    assert len(set(server.idempotency_keys)) == 2, "another call is another job"


def test_submit_after_a_break_may_name_the_first_try(server: Server, video: Path) -> None:
    with DuettoClient(server.url, retries=0) as client:
        server.refuse = [(504, {}, "?")]
        with pytest.raises(ProblemError):
            client.submit(video, idempotency_key="first")
        client.submit(video, idempotency_key="first", webhook_url="https://music.example/")
    assert server.idempotency_keys == ["first", "first"]
    assert server.form["webhook_url"] == [(None, b"https://music.example/")]


def test_submit_that_is_wrong_is_not_repeated(server: Server, client: DuettoClient, video: Path) -> None:
    server.refuse = [(422, {}, '{"code": "unknown_instrument", "detail": "no piano"}')]
    with pytest.raises(ProblemError, match="no piano"):
        client.submit(video, left="piano")
    assert len(server.seen) == 1


def test_wait_shows_every_step_and_uses_the_long_poll(server: Server, client: DuettoClient) -> None:
    server.states = [
        job_document("queued", queue_position=2),
        job_document("running", stage="separate", progress=0.5, eta_seconds=3.5),
        job_document("succeeded", progress=1.0),
    ]
    steps: list[tuple[str, str | None, float]] = []
    job = client.wait(JOB_ID, on_progress=lambda job: steps.append((job.state, job.stage, job.progress)))
    assert job.state == "succeeded"
    assert steps == [("queued", None, 0.0), ("running", "separate", 0.5), ("succeeded", None, 1.0)]
    assert all(parse_qs(urlsplit(path).query) == {"wait": ["1"]} for _, path in server.seen)


def test_wait_tells_why_a_job_failed(server: Server, client: DuettoClient) -> None:
    error = {"code": "no_audio", "message": "the video has no sound", "stage": "probe", "retryable": False}
    server.states = [job_document("failed", error=error)]
    with pytest.raises(JobNotSucceeded, match="the video has no sound") as caught:
        client.wait(JOB_ID)
    assert caught.value.job.error is not None
    assert (caught.value.job.error.code, caught.value.job.error.stage) == ("no_audio", "probe")


def test_wait_for_a_canceled_job(server: Server, client: DuettoClient) -> None:
    server.states = [job_document("canceled")]
    with pytest.raises(JobNotSucceeded, match="the job is canceled"):
        client.wait(JOB_ID)


def test_wait_gives_up_in_time(server: Server, client: DuettoClient) -> None:
    server.states = [job_document("running", stage="tag")]
    with pytest.raises(TimeoutError, match="still running"):
        client.wait(JOB_ID, timeout_s=0.05)


def test_busy_server_is_asked_again(server: Server, client: DuettoClient) -> None:
    server.refuse = [(503, {"Retry-After": "0"}, "{}"), (502, {}, "<html>bad gateway</html>")]
    assert client.result(JOB_ID) == RESULT
    assert len(server.seen) == 3


def test_busy_server_is_not_waited_for_too_long(server: Server, client: DuettoClient) -> None:
    server.refuse = [(503, {"Retry-After": "3600"}, '{"detail": "maintenance"}')]
    with pytest.raises(ProblemError, match="maintenance"):
        client.result(JOB_ID)
    assert len(server.seen) == 1


def test_problem_carries_code_title_and_detail(server: Server, client: DuettoClient) -> None:
    with pytest.raises(ProblemError) as caught:
        client.job("unknown")
    problem = caught.value
    assert (problem.status, problem.code, problem.title) == (404, "job_not_found", "No such job")
    assert str(problem) == "no job has this id (job_not_found 404)"
    assert len(server.seen) == 1


def test_cancel_and_delete(server: Server, client: DuettoClient) -> None:
    assert client.cancel(JOB_ID).state == "canceled"
    client.delete(JOB_ID)
    assert server.seen == [("POST", f"/v1/jobs/{JOB_ID}/cancel"), ("DELETE", f"/v1/jobs/{JOB_ID}")]


def test_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_BACKOFF_S", 0.0)
    with (
        DuettoClient("http://127.0.0.1:1") as client,
        pytest.raises(ServerUnreachable, match=r"no Duetto server answers at http://127\.0\.0\.1:1; start one"),
    ):
        client.job(JOB_ID)


@pytest.mark.parametrize("address", ["not a url", "localhost:8000", "http://"])
def test_address_that_is_none(address: str) -> None:
    with pytest.raises(ServerUnreachable), DuettoClient(address, retries=0) as client:
        client.job(JOB_ID)


@pytest.mark.parametrize("text", ["<html>hello</html>", "[]", "{}", '{"id": "x", "state": "queued", "progress": "?"}'])
def test_something_else_answers(server: Server, client: DuettoClient, text: str) -> None:
    server.refuse = [(200, {}, text)]
    with pytest.raises(InvalidAnswer):
        client.job(JOB_ID)


def test_download_is_whole(server: Server, client: DuettoClient, tmp_path: Path) -> None:
    dest = tmp_path / "new" / "folder" / "left.wav"
    assert client.download(JOB_ID, "left.wav", dest) == dest
    assert dest.read_bytes() == STEM
    assert [path.name for path in dest.parent.iterdir()] == ["left.wav"]


def test_broken_download_goes_on_where_it_stopped(server: Server, client: DuettoClient, tmp_path: Path) -> None:
    server.cut_after = [100_000, 50_000]
    client.download(JOB_ID, "left.wav", tmp_path / "left.wav")
    assert (tmp_path / "left.wav").read_bytes() == STEM
    assert server.ranges[0] is None
    starts = [int(str(wanted).removeprefix("bytes=").removesuffix("-")) for wanted in server.ranges[1:]]
    assert len(starts) == 2
    assert 0 < starts[0] <= 100_000 < starts[1] <= 150_000


def test_next_call_goes_on_where_the_last_one_stopped(server: Server, tmp_path: Path) -> None:
    dest = tmp_path / "left.wav"
    server.cut_after = [100_000]
    with DuettoClient(server.url, retries=0) as client:
        with pytest.raises(ServerUnreachable, match="goes on where it stopped"):
            client.download(JOB_ID, "left.wav", dest)
        assert not dest.exists()
        client.download(JOB_ID, "left.wav", dest)
    assert dest.read_bytes() == STEM
    assert server.ranges[-1] is not None
    assert [path.name for path in tmp_path.iterdir()] == ["left.wav"]


def test_other_content_is_not_glued_to_the_old_start(server: Server, client: DuettoClient, tmp_path: Path) -> None:
    server.cut_after = [100_000]
    with DuettoClient(server.url, retries=0) as hasty, pytest.raises(ServerUnreachable):
        hasty.download(JOB_ID, "left.wav", tmp_path / "left.wav")
    server.stem = STEM[::-1]
    client.download(JOB_ID, "left.wav", tmp_path / "left.wav")
    assert (tmp_path / "left.wav").read_bytes() == STEM[::-1]


def test_content_that_changes_between_two_parts_is_fetched_anew(
    server: Server, client: DuettoClient, tmp_path: Path
) -> None:
    changed = STEM[::-1]

    class ChangesOnCut(list[int]):
        def pop(self, index: Any = -1) -> int:
            server.stem = changed
            return super().pop(index)

    server.cut_after = ChangesOnCut([100_000])
    client.download(JOB_ID, "left.wav", tmp_path / "left.wav")
    assert (tmp_path / "left.wav").read_bytes() == changed


def test_refused_download_leaves_nothing(server: Server, client: DuettoClient, tmp_path: Path) -> None:
    server.refuse = [(409, {}, '{"code": "stem_not_ready", "detail": "still running"}')]
    with pytest.raises(ProblemError, match="still running"):
        client.download(JOB_ID, "left.wav", tmp_path / "left.wav")
    assert list(tmp_path.iterdir()) == []


def test_download_into_what_is_no_folder(server: Server, client: DuettoClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnusableFile, match="cannot write"):
        client.download(JOB_ID, "left.wav", tmp_path / "file" / "left.wav")


def submit_arguments(*given: str) -> Any:
    parser = argparse.ArgumentParser()
    submit.add_arguments(parser)
    return parser.parse_args(given)


def test_submit_command_brings_both_stems_and_says_who_plays_what(
    server: Server, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.states = [
        job_document("running", stage="tag", progress=0.2),
        job_document("running", stage="separate", progress=0.6),
        job_document("succeeded", progress=1.0),
    ]
    output = tmp_path / "stems"
    given = (str(video), "--server", server.url, "-o", str(output), "--right", "acoustic_guitar")
    assert submit.run(submit_arguments(*given)) == 0
    assert (output / "left.wav").read_bytes() == (output / "right.wav").read_bytes() == STEM
    assert json.loads((output / "result.json").read_text()) == RESULT
    assert server.form["right"] == [(None, b"acoustic_guitar")]
    captured = capsys.readouterr()
    words = captured.out.replace("│", " ").split()
    assert {"left", "violin", "0.93", "right", "acoustic", "guitar"} <= set(words)
    assert "the recording is mono" in captured.out
    assert [line.split("  ")[-1] for line in captured.err.splitlines()][:3] == [
        "uploading",
        "looking who plays what",
        "separating the sound",
    ]


def test_submit_command_refuses_an_output_that_is_a_file(server: Server, video: Path) -> None:
    with pytest.raises(UnusableFile, match="is a file; choose a folder"):
        submit.run(submit_arguments(str(video), "--server", server.url, "-o", str(video)))
    assert server.seen == []


@pytest.mark.parametrize("interrupted_by", [KeyboardInterrupt])
def test_interrupted_submit_cancels_the_job(
    server: Server, video: Path, monkeypatch: pytest.MonkeyPatch, interrupted_by: type[BaseException]
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise interrupted_by

    monkeypatch.setattr(ProgressDisplay, "stage", interrupt)
    server.states = [job_document("running", stage="separate", progress=0.6)]
    with pytest.raises(KeyboardInterrupt):
        submit.run(submit_arguments(str(video), "--server", server.url))
    assert server.seen[-1] == ("POST", f"/v1/jobs/{JOB_ID}/cancel")


@pytest.mark.parametrize(
    ("feed", "line"),
    [
        (lambda display: display.upload(0, 0), "100%  uploading"),
        (lambda display: display.stage(None, 0.0, queue_position=3), "  0%  waiting in the queue"),
        (lambda display: display.stage("encode", 1.2, eta_s=9.0), "100%  writing the stems"),
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
