"""Both clients against the real API: every call, and what its errors say."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

import duetto
from app.jobs.record import JobError
from app.jobs.states import Stage
from app.jobs.store import JobStore
from app.queue import QUEUE_NAME
from app.storage.protocol import Storage
from tests.both_clients import both_clients
from tests.relay import BreakingLine
from tests.storages import read_upload
from tests.unit.client_service import FILES, RATE, RESULT, STEMS, Done, client, done, meddler, tone, url, video
from tests.unit.meddling import Meddler
from tests.unit.test_app_api import PNG, WAV

__all__ = ["client", "done", "meddler", "url", "video"]

pytestmark = both_clients


def test_submit_sends_the_file_and_only_the_options_given(
    client: Any, video: Path, store: JobStore, storage: Storage
) -> None:
    told: list[duetto.Progress] = []
    job = client.submit(video, "violin", format="flac", bits=16, on_progress=told.append)
    assert (job.state, job.queue_position, job.title, job.format) == ("queued", 0, "duet.mp4", "flac")
    record = store.get(job.id)
    assert (record.options.left, record.options.right) == ("violin", None)
    assert (record.options.format, record.options.bits) == ("flac", 16)
    assert read_upload(storage, job.id, "video.mp4") == video.read_bytes()
    fractions = [progress.fraction for progress in told]
    assert {progress.stage for progress in told} == {"upload"}
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_submit_frames_with_audio(client: Any, tmp_path: Path, store: JobStore, storage: Storage) -> None:
    frames = [tmp_path / f'{number} "ä".png' for number in range(3)]
    for number, frame in enumerate(frames):
        frame.write_bytes(PNG + bytes([number]))
    audio = tmp_path / "mix.wav"
    audio.write_bytes(WAV)
    job = client.submit(frames=frames, audio=str(audio))
    record = store.get(job.id).input
    assert (record.kind, record.title) == ("frames", "mix.wav")
    assert [read_upload(storage, job.id, key) for key in record.frames] == [frame.read_bytes() for frame in frames]
    one = client.submit(frames=frames[0], audio=audio)
    assert len(store.get(one.id).input.frames) == 1


def test_a_job_again_with_another_label_sends_no_file(
    client: Any, meddler: Meddler, video: Path, store: JobStore, storage: Storage
) -> None:
    first = client.submit(video, "violin", "trumpet")
    for earlier in (first, first.id):
        second = client.submit(again=earlier, left="violin", right="flute")
        record = store.get(second.id)
        assert (record.options.right, record.input) == ("flute", store.get(first.id).input)
        assert read_upload(storage, second.id, "video.mp4") == video.read_bytes()
        assert int(meddler.calls("POST")[-1].headers["content-length"]) < 1000
    with pytest.raises(duetto.JobNotFound):
        client.submit(again="0" * 32)


def test_submit_of_a_missing_file_or_a_folder_sends_nothing(client: Any, meddler: Meddler, tmp_path: Path) -> None:
    with pytest.raises(duetto.UnusableFile, match="No such file"):
        client.submit(tmp_path / "none.mp4")
    with pytest.raises(duetto.UnusableFile, match="is a folder"):
        client.submit(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(duetto.UnusableFile, match="is a file; choose a folder"):
        client.separate(tmp_path / "file", output=tmp_path / "file")
    assert meddler.seen == []


def test_submit_is_repeated_under_one_key(
    client: Any, meddler: Meddler, video: Path, store: JobStore, storage: Storage
) -> None:
    busy = '{"code": "queue_full", "detail": "50 jobs wait already"}'
    meddler.refuse = [(503, {"Retry-After": "0"}, busy), (502, {}, "<html>")]
    told: list[duetto.Progress] = []
    job = client.submit(video, on_progress=told.append)
    posts = meddler.calls("POST")
    assert len(posts) == 3
    assert len({post.headers["idempotency-key"] for post in posts}) == 1
    assert [found.id for found in store.list().jobs] == [job.id]
    assert read_upload(storage, job.id, "video.mp4") == video.read_bytes(), "whole, the third time too"
    assert next(progress.note for progress in told if progress.stage == "paused").startswith("50 jobs wait already")
    assert told[-1].fraction == 1.0
    client.submit(video)
    assert len({post.headers["idempotency-key"] for post in meddler.calls("POST")}) == 2, "another call, another job"


def test_an_answer_that_is_lost_makes_no_second_job(
    make_client: Callable[..., Any], url: str, video: Path, store: JobStore, redis_client: redis.Redis
) -> None:
    with BreakingLine(url, cuts=[0, 0]) as line, make_client(line.url) as client:
        job = client.submit(video)
    assert [found.id for found in store.list().jobs] == [job.id]
    assert redis_client.llen(QUEUE_NAME) == 1


def test_a_call_may_take_up_where_the_last_one_failed(
    make_client: Callable[..., Any], url: str, video: Path, store: JobStore
) -> None:
    with BreakingLine(url, cuts=[0]) as line, make_client(line.url, retries=0) as client:
        with pytest.raises(duetto.ServerUnreachable):
            client.submit(video, idempotency_key="duet-7")
        job = client.submit(video, idempotency_key="duet-7")
    assert [found.id for found in store.list().jobs] == [job.id]


def test_what_is_wrong_is_not_repeated(client: Any, meddler: Meddler, video: Path, tmp_path: Path) -> None:
    with pytest.raises(duetto.UnknownInstrument, match=r"no instrument is called 'piano'.*unknown_instrument 422"):
        client.submit(video, left="piano")
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    with pytest.raises(duetto.UnsupportedMedia):
        client.submit(tmp_path / "text.mp4")
    with pytest.raises(duetto.UnknownField):
        client.submit(video, colour="blue")
    assert len(meddler.seen) == 3


def test_an_upload_that_is_too_large_is_told_so(
    make_client: Callable[..., Any], meddler: Meddler, url: str, tmp_path: Path
) -> None:
    meddler.app.state.settings = meddler.app.state.settings.model_copy(update={"max_upload_bytes": 1 << 20})
    with (tmp_path / "large.mp4").open("wb") as file:
        file.truncate(16 << 20)
    with make_client(url) as client:
        for _ in range(5):
            with pytest.raises(duetto.BodyTooLarge):
                client.submit(tmp_path / "large.mp4")
    assert len(meddler.seen) == 5


def test_separate_brings_labels_and_stems(client: Any, video: Path, tmp_path: Path, done: Done) -> None:
    told: list[duetto.Progress] = []

    def watch(now: duetto.Progress) -> None:
        told.append(now)
        if now.stage == "queued":
            done(now.job.id)

    duet = client.separate(video, right="acoustic_guitar", output=tmp_path / "new" / "stems", on_progress=watch)
    assert (duet.left.instrument, duet.left.probability, duet.left.source) == ("violin", 0.93, "tagger")
    assert (duet.right.instrument, duet.right.probability, duet.right.source) == ("acoustic_guitar", None, "request")
    assert duet.result == RESULT
    assert duet.warnings == ("the recording is mono",)
    assert {path.name: path.read_bytes() for path in duet.folder.iterdir()} == FILES
    samples, rate = duet.right.read()
    assert rate == RATE
    assert samples.dtype == np.float32
    assert np.array_equal(samples, tone("right"))
    stages = dict.fromkeys(progress.stage for progress in told)
    stages.pop("probe", None)  # it may run for a moment
    assert list(stages) == ["upload", "queued", "succeeded", "download"]
    assert told[-1].fraction == 1.0
    assert duet.job.state == client.job(duet.job).state == "succeeded"


def test_without_an_output_stems_last_as_long_as_they_are_used(client: Any, video: Path, done: Done) -> None:
    job = client.submit(video)
    done(job.id)
    duet = client.fetch(job)
    folder, stem = duet.folder, duet.left
    del duet
    assert np.array_equal(stem.read()[0], tone("left"))
    del stem
    # The asynchronous client's call returns from another thread, whose last frame may hold the result a moment longer.
    for _ in range(100):
        gc.collect()
        if not folder.exists():
            break
        time.sleep(0.05)
    assert not folder.exists()


def test_a_listener_that_fails_cancels_the_job(client: Any, video: Path, store: JobStore) -> None:
    def watch(now: duetto.Progress) -> None:
        if now.stage == "queued":
            raise RuntimeError("the user's own")

    with pytest.raises(RuntimeError, match="the user's own"):
        client.separate(video, on_progress=watch)
    assert [job.state for job in store.list().jobs] == ["canceled"]


def test_wait_shows_every_step(client: Any, video: Path, store: JobStore, storage: Storage, done: Done) -> None:
    job = client.submit(video)
    steps: list[str] = []

    def watch(now: duetto.Progress) -> None:
        steps.append(str(now))
        match len(steps):
            case 1:
                store.start(job.id)
            case 2:
                store.progress(job.id, Stage.SEPARATE, 0.5)
            case 3:
                store.succeed(job.id)

    assert client.wait(job, on_progress=watch).state == "succeeded"
    assert steps[0] == "queued 0 %"
    assert steps[1] == "probe 0 %"
    assert steps[2].startswith("separate 50 %, about ")
    assert steps[3:] == ["succeeded 100 %"]


def test_wait_tells_why_a_job_failed(client: Any, video: Path, store: JobStore, tmp_path: Path) -> None:
    job = client.submit(video)
    store.start(job.id)
    store.fail(job.id, JobError(code="no_audio", message="the video has no sound", stage=Stage.PROBE, retryable=False))
    with pytest.raises(duetto.JobFailed, match=r"^the video has no sound$") as caught:
        client.wait(job.id)
    assert caught.value.failure == duetto.Failure("no_audio", "the video has no sound", "probe", retryable=False)
    assert caught.value.job is not None
    assert caught.value.job.error == caught.value.failure
    with pytest.raises(duetto.JobFailed) as refused:
        client.download(job, "left", tmp_path)
    assert (refused.value.failure.code, refused.value.failure.message) == ("no_audio", "the video has no sound")


def test_jobs_that_have_no_stems(client: Any, video: Path, store: JobStore, tmp_path: Path, done: Done) -> None:
    waiting, canceled, expired = (client.submit(video) for _ in range(3))
    with pytest.raises(duetto.StemNotReady):
        client.fetch(waiting)
    assert client.cancel(canceled).state == "canceled"
    done(expired.id)
    store.expire(expired.id)
    for job, kind in ((canceled, duetto.JobCanceled), (expired, duetto.JobExpired)):
        for call in (client.wait, client.result, lambda job: client.download(job, "stems", tmp_path / "x.zip")):
            with pytest.raises(kind):
                call(job)
    with pytest.raises(duetto.IllegalTransition):
        client.cancel(expired)
    assert list(tmp_path.glob("x*")) == []


def test_wait_gives_up_in_time_and_the_job_goes_on(client: Any, video: Path, done: Done) -> None:
    with pytest.raises(duetto.NotInTime, match=r"still queued after 0\.05 s") as caught:
        client.separate(video, timeout_s=0.05)
    job = caught.value.job
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(duetto.NotInTime):
        client.wait(job, timeout_s=0.0)
    done(job.id)
    assert client.wait(job, timeout_s=30.0).state == "succeeded"


def test_jobs_of_several_pages(
    client: Any, video: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch, meddler: Meddler
) -> None:
    monkeypatch.setattr("duetto._session._PAGE", 2)
    ids = [client.submit(video).id for _ in range(5)]
    assert [job.id for job in client.jobs()] == ids[::-1]
    assert len(meddler.calls("GET", "/v1/jobs")) == 3
    store.start(ids[1])
    assert [job.id for job in client.jobs(state="running")] == [ids[1]]
    with pytest.raises(duetto.InvalidRequest):
        list(client.jobs(state="lost"))


def test_delete_takes_the_job_away(client: Any, video: Path, make_client: Callable[..., Any], url: str) -> None:
    job = client.submit(video)
    client.delete(job)
    with pytest.raises(duetto.JobNotFound, match="job_not_found 404") as caught:
        client.job(job)
    assert caught.value.status == 404
    assert caught.value.request_id
    with pytest.raises(duetto.JobNotFound):
        client.delete(job)
    job = client.submit(video)
    with BreakingLine(url, cuts=[0]) as line, make_client(line.url) as unlucky:
        unlucky.delete(job)


def test_a_busy_server_is_asked_again(client: Any, meddler: Meddler, video: Path) -> None:
    job = client.submit(video)
    meddler.seen.clear()
    stopping = (500, {"Content-Type": "text/plain"}, "Internal Server Error")  # uvicorn's, to calls that it cuts off
    meddler.refuse = [(503, {"Retry-After": "0"}, "{}"), (502, {}, "<html>bad gateway</html>"), stopping]
    assert client.job(job).id == job.id
    assert len(meddler.seen) == 4


def test_a_busy_server_is_not_waited_for_too_long(client: Any, meddler: Meddler) -> None:
    meddler.refuse = [(503, {"Retry-After": "3600"}, '{"detail": "maintenance"}')]
    with pytest.raises(duetto.ServerBusy, match="maintenance") as caught:
        client.job("0" * 32)
    assert caught.value.retry_after_s == 3600.0
    assert len(meddler.seen) == 1


def test_a_server_that_is_away(
    make_client: Callable[..., Any], tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duetto._retries.FIRST_PAUSE_S", 0.0)
    with make_client("http://127.0.0.1:1") as client:
        for call in (
            lambda: client.submit(video), lambda: client.job("1"), lambda: client.wait("1"),
            lambda: client.fetch("1", tmp_path), lambda: list(client.jobs()),
        ):  # fmt: skip
            with pytest.raises(duetto.ServerUnreachable, match=r"no Duetto server answers at http://127\.0\.0\.1:1 "):
                call()


def test_no_proxy_stands_between_programs_of_one_machine(
    make_client: Callable[..., Any], url: str, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with make_client(url, retries=0) as client:
        assert client.submit(video).state == "queued"
    refused = pytest.raises(duetto.ServerUnreachable, match=r"Connection refused|connection attempts failed")
    with make_client("http://duetto.invalid", retries=0) as client, refused:
        client.submit(video)


@pytest.mark.parametrize("address", ["not a url", "localhost:8000", "http://", "ftp://host", "http://host:port", ""])
def test_an_address_that_is_none(make_client: Callable[..., Any], address: str) -> None:
    with pytest.raises(duetto.ServerUnreachable, match="is no address of a server"):
        make_client(address)


@pytest.mark.parametrize(
    "text",
    [
        "<html>hello</html>", "[]", "{}", "\xff", '{"id": "x", "state": "queued", "progress": "?"}',
        '{"id": "x", "state": "queued", "options": {"format": "../../x"}}',
    ],
)  # fmt: skip
def test_something_else_answers(client: Any, meddler: Meddler, text: str) -> None:
    meddler.refuse = [(200, {}, text)]
    with pytest.raises(duetto.InvalidAnswer):
        client.job("1")


def test_a_server_that_has_moved(client: Any, meddler: Meddler, video: Path) -> None:
    meddler.refuse = [(308, {"Location": "https://music.example/v1/jobs"}, "")]
    with pytest.raises(duetto.InvalidAnswer, match=r"sends on to https://music\.example/v1/jobs; give the address"):
        client.submit(video)
    assert len(meddler.seen) == 1


def test_a_server_that_says_nothing(make_client: Callable[..., Any], meddler: Meddler, url: str) -> None:
    meddler.hold = "/result"
    with make_client(url, timeout_s=0.5, retries=0) as client, pytest.raises(duetto.ServerSilent):
        client.result("1")


def test_a_file_that_is_none(client: Any, video: Path) -> None:
    with pytest.raises(ValueError, match="it is one of left, right, stems, result"):
        client.download(client.submit(video), "middle", video.parent)


def test_a_client_serves_several_threads(client: Any, video: Path, done: Done, tmp_path: Path) -> None:
    duets: dict[int, Any] = {}
    begun: set[str] = set()

    def separate(number: int) -> None:
        duets[number] = client.separate(video, output=tmp_path / str(number), on_progress=watch)

    def watch(now: duetto.Progress) -> None:
        if now.stage == "queued" and now.job.id not in begun:  # a place in the queue may change
            begun.add(now.job.id)
            done(now.job.id)

    threads = [threading.Thread(target=separate, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({duet.job.id for duet in duets.values()}) == 4
    assert all(duets[number].left.path.read_bytes() == STEMS["left.wav"] for number in range(4))
