"""Jobs through HTTP, a real queue and a real worker, from upload to stems."""

from __future__ import annotations

import io
import os
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image

from app.stack import Stack
from models.metrics import bss_eval
from tests.integration.test_serve import descendants
from tests.media import Video, image_bytes, png_bomb, write_media, write_wav, write_zip
from tests.unit.signals import harmonic, noise
from worker.example_duet import example_duet
from worker.media.limits import MediaLimits
from worker.media.sound import SoundReader

pytestmark = pytest.mark.integration

Job = dict[str, Any]
EXAMPLE = example_duet()
DATA_FOLDERS = {"upload", "artifacts"}


def job_folders(stack: Stack, job_id: str) -> set[str]:
    folder = stack.settings.data_dir / "jobs" / job_id
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def stem(http: httpx.Client, job: Job, side: str) -> tuple[np.ndarray, int]:
    response = http.get(job["links"][side])
    assert response.status_code == 200
    samples, rate = soundfile.read(io.BytesIO(response.content), dtype="float32", always_2d=True)
    return samples.T, rate


def long_wav(folder: Path, seconds: float = 55.0) -> Path:
    """Sound that takes a worker some seconds."""
    return write_wav(folder / "long.wav", noise(2, round(seconds * 96_000)), 96_000, "PCM_16")


def until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def test_a_video_becomes_labels_and_two_stems(
    stack: Stack, http: httpx.Client, post: Callable[..., httpx.Response], finished: Callable[..., Job]
) -> None:
    accepted = post({"video": EXAMPLE.video})
    assert accepted.status_code == 202
    assert accepted.headers["Retry-After"]
    # A worker that waits may have it before the answer is written.
    assert accepted.json()["state"] in ("queued", "running")
    job = finished(accepted)
    assert job["state"] == "succeeded"
    assert job["progress"] == 1.0
    assert job["attempts"] == 1
    result = http.get(job["links"]["result"]).json()
    assert result["labels"]["left"]["instrument"] == "trumpet"
    assert result["labels"]["right"]["instrument"] == "acoustic_guitar"
    with SoundReader(EXAMPLE.video, MediaLimits()) as sound:
        mix, rate = np.concatenate(list(sound.blocks()), axis=1), sound.sample_rate
    stems = [stem(http, job, side) for side in ("left", "right")]
    assert [rate for _, rate in stems] == [rate, rate]
    assert stems[0][0].shape == stems[1][0].shape == mix.shape
    assert np.abs(stems[0][0] + stems[1][0] - mix).max() < 1e-4
    true = np.stack([soundfile.read(path, dtype="float32")[0] for path in (EXAMPLE.left, EXAMPLE.right)])
    heard = np.concatenate([samples for samples, _ in stems])[:, : true.shape[1]]
    assert bss_eval(true, heard).sdr.min() > 3.0
    assert job_folders(stack, job["id"]) == DATA_FOLDERS
    assert [picture["name"] for picture in result["pictures"]] == ["frame", "probabilities", "mix", "left", "right"]
    for picture in result["pictures"]:
        # Relative to the result, as it says.
        drawn = http.get(httpx.URL(job["links"]["result"]).join(picture["url"]))
        assert (drawn.status_code, drawn.headers["Content-Type"]) == (200, "image/png")
        with Image.open(io.BytesIO(drawn.content)) as image:
            assert (image.format, image.size) == ("PNG", (picture["width"], picture["height"]))


def test_a_stem_comes_in_ranges(
    http: httpx.Client, post: Callable[..., httpx.Response], finished: Callable[..., Job]
) -> None:
    job = finished(post({"video": EXAMPLE.video}, left="trumpet", right="acoustic_guitar"))
    url = job["links"]["left"]
    whole = http.get(url)
    part = http.get(url, headers={"Range": "bytes=1000-1999", "If-Range": whole.headers["ETag"]})
    assert part.status_code == 206
    assert part.content == whole.content[1000:2000]
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(whole.content)}"
    again = http.get(url, headers={"If-None-Match": whole.headers["ETag"]})
    assert again.status_code in (200, 304)


def test_progress_moves_through_the_stages(http: httpx.Client, post: Callable[..., httpx.Response]) -> None:
    accepted = post({"video": EXAMPLE.video})
    seen: list[Job] = []
    until(lambda: seen.append(http.get(accepted.headers["Location"]).json()) or seen[-1]["state"] == "succeeded")
    running = [job for job in seen if job["state"] == "running"]
    progress = [job["progress"] for job in running]
    assert progress == sorted(progress)
    assert len(set(progress)) >= 3
    assert {"tag", "separate"} & {job["stage"] for job in running}


def test_pictures_with_sound_and_a_zip_of_them(
    http: httpx.Client, tmp_path: Path, post: Callable[..., httpx.Response], finished: Callable[..., Job]
) -> None:
    with av.open(str(EXAMPLE.video)) as container:
        images = [frame.to_image() for _, frame in zip(range(4), container.decode(video=0), strict=False)]
    pictures = [tmp_path / f"{k:06d}.jpg" for k in range(4)]
    for path, image in zip(pictures, images, strict=True):
        image.save(path, quality=92)
    audio = write_wav(tmp_path / "mix.wav", noise(2, 48_000), 48_000, "PCM_16")
    zipped = write_zip(tmp_path / "frames.zip", [(path.name, path.read_bytes()) for path in pictures])
    for frames in (pictures, zipped):
        job = finished(post({"frames": frames, "audio": audio}))
        assert job["state"] == "succeeded", job["error"]
        labels = http.get(job["links"]["result"]).json()["labels"]
        assert [labels[side]["instrument"] for side in ("left", "right")] == ["trumpet", "acoustic_guitar"]
        assert stem(http, job, "left")[0].shape == (2, 48_000)


def test_named_sides(
    http: httpx.Client, tmp_path: Path, post: Callable[..., httpx.Response], finished: Callable[..., Job]
) -> None:
    job = finished(post({"video": EXAMPLE.video}, right="violin"))
    labels = http.get(job["links"]["result"]).json()["labels"]
    assert (labels["left"]["instrument"], labels["left"]["source"]) == ("trumpet", "tagger")
    assert (labels["right"]["instrument"], labels["right"]["source"]) == ("violin", "request")
    audio = write_wav(tmp_path / "mix.wav", noise(1, 30_000), 22_050)
    assert finished(post({"audio": audio}, left="cello", right="flute"))["state"] == "succeeded"


def test_a_very_short_clip_is_separated_and_warned_of(
    http: httpx.Client, tmp_path: Path, post: Callable[..., httpx.Response], finished: Callable[..., Job]
) -> None:
    sound = noise(1, 8_820)
    clip = write_media(tmp_path / "short.mkv", sound, codec="pcm_s16le", video=Video(5))
    job = finished(post({"video": clip}, left="cello", right="flute"))
    assert job["state"] == "succeeded", job["error"]
    assert stem(http, job, "right")[0].shape == sound.shape
    assert "lasts only 0.20 s" in http.get(job["links"]["result"]).json()["warnings"][0]


@pytest.mark.parametrize(("stem_format", "options"), [("flac", {"bits": "16"}), ("mp3", {})])
def test_other_formats(
    http: httpx.Client, tmp_path: Path, post: Callable[..., httpx.Response], finished: Callable[..., Job],
    stem_format: str, options: dict[str, str],
) -> None:  # fmt: skip
    mix = noise(2, 50_001)
    sides = {"left": "cello", "right": "flute"}
    job = finished(
        post({"audio": write_wav(tmp_path / "mix.wav", mix, 44_100)}, format=stem_format, **options, **sides)
    )
    assert job["state"] == "succeeded", job["error"]
    assert job["links"]["left"].endswith(f"/stems/left.{stem_format}")
    stems = [stem(http, job, side) for side in ("left", "right")]
    assert [(samples.shape, rate) for samples, rate in stems] == [(mix.shape, 44_100)] * 2
    if stem_format == "flac":
        assert np.abs(stems[0][0] + stems[1][0] - mix).max() < 2.0**-15
    with zipfile.ZipFile(io.BytesIO(http.get(job["links"]["stems"]).content)) as archive:
        assert {f"left.{stem_format}", f"right.{stem_format}", "result.json"} == set(archive.namelist())
    other = http.get(job["links"]["left"].replace(stem_format, "wav"))
    assert (other.status_code, other.json()["code"]) == (404, "other_format")


def bad(folder: Path, kind: str) -> dict[str, Path | list[Path]]:
    tone = harmonic(440.0, 1.0, 44_100)[None]
    good = write_media(folder / "good.mp4", tone, video=Video(25))
    wav = write_wav(folder / "good.wav", tone, 44_100)
    if kind == "media_unreadable":
        (folder / "bad.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 3])
        return {"video": folder / "bad.mp4"}
    if kind == "no_audio":
        return {"video": write_media(folder / "bad.mp4", video=Video(25))}
    if kind == "silent_audio":
        return {"video": write_media(folder / "bad.mp4", 0 * tone, video=Video(25))}
    if kind == "too_long":
        return {
            "video": write_media(folder / "bad.mkv", noise(1, 62 * 8_000), 8_000, codec="pcm_s16le", video=Video(25))
        }
    if kind == "picture_too_large":
        (folder / "bomb.png").write_bytes(png_bomb())
        return {"audio": wav, "frames": [folder / "bomb.png"]}
    entries = [("1.png", image_bytes(1)), ("2.png", image_bytes(2))]
    whole = bytearray(write_zip(folder / "frames.zip", entries).read_bytes())
    whole[45:80] = bytes(35)  # inside the first picture: the directory still reads
    (folder / "bad.zip").write_bytes(whole)
    return {"audio": wav, "frames": folder / "bad.zip"}


@pytest.mark.parametrize(
    "code", ["media_unreadable", "no_audio", "silent_audio", "too_long", "picture_too_large", "frames_unreadable"]
)
def test_bad_media_fails_in_plain_words_and_the_worker_lives_on(
    stack: Stack, http: httpx.Client, tmp_path: Path, post: Callable[..., httpx.Response],
    finished: Callable[..., Job], code: str,
) -> None:  # fmt: skip
    pid = stack.worker_pid
    job = finished(post(bad(tmp_path, code)))
    assert job["state"] == "failed"
    assert job["error"]["code"] == code
    assert str(stack.settings.data_dir) not in job["error"]["message"]
    assert job["error"]["message"].count(".") >= 2
    assert job_folders(stack, job["id"]) == {"upload"}
    refused = http.get(f"/v1/jobs/{job['id']}/stems/left.wav")
    assert refused.status_code == 409
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert job_folders(stack, job["id"]) == set()
    assert stack.worker_pid == pid
    after = finished(
        post({"audio": write_wav(tmp_path / "ok.wav", noise(1, 9_000), 44_100)}, left="cello", right="flute")
    )
    assert after["state"] == "succeeded"


def start_long_job(http: httpx.Client, post: Callable[..., httpx.Response], folder: Path) -> str:
    job_id: str = post({"audio": long_wav(folder)}, left="violin", right="cello").json()["id"]
    until(lambda: http.get(f"/v1/jobs/{job_id}").json()["stage"] == "separate")
    return job_id


def test_a_running_job_is_canceled(
    stack: Stack, http: httpx.Client, tmp_path: Path, post: Callable[..., httpx.Response]
) -> None:
    job_id = start_long_job(http, post, tmp_path)
    early = http.get(f"/v1/jobs/{job_id}/stems/left.wav")
    assert early.status_code == 409
    assert early.json()["code"] == "stem_not_ready"
    assert http.post(f"/v1/jobs/{job_id}/cancel").status_code in (200, 202)
    until(lambda: http.get(f"/v1/jobs/{job_id}").json()["state"] == "canceled")
    until(lambda: job_folders(stack, job_id) == {"upload"})


def test_a_running_job_is_deleted(
    stack: Stack, http: httpx.Client, tmp_path: Path, post: Callable[..., httpx.Response], finished: Callable[..., Job]
) -> None:
    job_id = start_long_job(http, post, tmp_path)
    assert http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert http.get(f"/v1/jobs/{job_id}").status_code == 404
    # The worker is free again, so it has noticed; and it has left nothing.
    small = write_wav(tmp_path / "ok.wav", noise(1, 9_000), 44_100)
    for _ in range(2):
        assert finished(post({"audio": small}, left="cello", right="flute"))["state"] == "succeeded"
    until(lambda: not (stack.settings.data_dir / "jobs" / job_id).exists())
    until(lambda: not list((stack.settings.data_dir / "trash").iterdir()))


def test_a_killed_child_does_not_lose_its_job(
    stack: Stack, http: httpx.Client, tmp_path: Path, post: Callable[..., httpx.Response], finished: Callable[..., Job]
) -> None:
    accepted = post({"audio": long_wav(tmp_path)}, left="violin", right="cello")
    url = accepted.headers["Location"]
    until(lambda: http.get(url).json()["stage"] == "separate")
    for child in descendants(stack.worker_pid):
        os.kill(child, signal.SIGKILL)
    job = finished(accepted)
    assert job["state"] == "succeeded"
    assert job["attempts"] == 2
    # What the killed attempt had half written is gone as well.
    until(lambda: job_folders(stack, job["id"]) == DATA_FOLDERS)


def test_many_jobs_through_two_workers(
    http: httpx.Client, tmp_path: Path, post: Callable[..., httpx.Response], finished: Callable[..., Job]
) -> None:
    accepted = []
    for k in range(12):
        path = write_wav(tmp_path / f"{k}.wav", noise(1 + k % 2, 20_000 + 1_111 * k, seed=k), 44_100)
        accepted.append(post({"audio": path}, left="cello", right="flute"))
    jobs = [finished(response) for response in accepted]
    assert {job["state"] for job in jobs} == {"succeeded"}
    for k, job in enumerate(jobs):
        total = sum(stem(http, job, side)[0] for side in ("left", "right"))
        assert np.abs(total - noise(1 + k % 2, 20_000 + 1_111 * k, seed=k)).max() < 1e-4
