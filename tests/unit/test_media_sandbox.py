"""The process that decodes: the same bytes as without it, and whatever it does, the worker lives on."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.media import CONTAINERS, Video, image_bytes, noise, write_media, write_wav, write_zip
from worker.errors import (
    Canceled,
    DecoderCrashed,
    DecodingLimit,
    FramesUnreadable,
    JobFailure,
    JobGone,
    MediaUnreadable,
    NoPicture,
    NoSound,
    TooLong,
)
from worker.media import decoding, launch, messages
from worker.media.decoding import pictures, video
from worker.media.decoding import probe as decoding_probe
from worker.media.decoding.sound import SoundDecoder
from worker.media.frames import VideoFrame, picture_frames, video_frames
from worker.media.limits import MIB, MediaLimits
from worker.media.probe import probe
from worker.media.process import DecoderProcess
from worker.media.sandbox import Walls, tried_out
from worker.media.sound import SoundReader

ROOT = Path(decoding.__file__).parents[3]
LIMITS = MediaLimits()
# Enough for a decoder to start, and little more.
TIGHT = MediaLimits(cpu_s=1.0, wait_per_cpu_s=2.0, memory_bytes=512 * MIB)

Misbehave = Callable[[str], None]


@pytest.fixture
def misbehave(monkeypatch: pytest.MonkeyPatch) -> Misbehave:
    """Put a decoder that does `how` (tests/unit/hostile_decoder.py) in the place of the true one."""

    def put(how: str) -> None:
        monkeypatch.setattr(launch, "PROGRAM", ("-m", "tests.unit.hostile_decoder", how))

    return put


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "a.wav", noise(2, 3 * 44100 + 17), 44100)


def heard(path: Path, limits: MediaLimits = LIMITS) -> np.ndarray:
    with SoundReader(path, limits) as sound:
        return np.concatenate(list(sound.blocks()), axis=1)


def same(one: list[VideoFrame], other: list[VideoFrame]) -> bool:
    return [(a.time_s, a.image.tobytes()) for a in one] == [(b.time_s, b.image.tobytes()) for b in other]


@pytest.mark.parametrize(("suffix", "codec", "picture"), CONTAINERS)
def test_every_container_comes_through_as_it_is_decoded(tmp_path: Path, suffix: str, codec: str, picture: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_media(path, noise(2, 72001), 48000, codec=codec, video=Video(40, codec=picture))
    assert probe(path, LIMITS) == decoding_probe.probe(path, LIMITS)
    assert same(list(video_frames(path, LIMITS)), list(video.video_frames(path, LIMITS)))
    with SoundReader(path, LIMITS) as ours, SoundDecoder(path, LIMITS) as theirs:
        assert (ours.sample_rate, ours.channels) == (theirs.sample_rate, theirs.channels)
        for one, other in zip(ours.blocks(0.7), theirs.blocks(0.7), strict=True):
            assert one.dtype == np.float32
            np.testing.assert_array_equal(one, other)


def test_pictures_and_zips_come_through_as_they_are_decoded(tmp_path: Path) -> None:
    content = [(f"{i}.png", image_bytes(i)) for i in range(12)]
    paths = [tmp_path / name for name, _ in content]
    for path, (_, data) in zip(paths, content, strict=True):
        path.write_bytes(data)
    zipped = write_zip(tmp_path / "a.zip", content)
    expected = list(pictures.picture_frames(paths, LIMITS))
    assert len(expected) == 12
    for source in (paths, zipped):
        assert same(list(picture_frames(source, LIMITS)), expected)


def test_passes_may_be_repeated_abandoned_and_interleaved(wav: Path) -> None:
    with SoundReader(wav, LIMITS) as sound:
        whole = np.concatenate(list(sound.blocks()), axis=1)
        one, other = sound.blocks(0.5), sound.blocks(0.25)
        next(one)
        np.testing.assert_array_equal(next(other), whole[:, :11025])
        np.testing.assert_array_equal(next(one), whole[:, 22050:44100])
        one.close()
        np.testing.assert_array_equal(np.concatenate([whole[:, :11025], *other], axis=1), whole)
    assert whole.shape == (2, 3 * 44100 + 17)


def children() -> set[int]:
    """Ids of the processes that this one has started and that are still there, but for the spare."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return {int(one) for one in found if "hostile_decoder" in Path(f"/proc/{one}/cmdline").read_text("utf-8")}


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("crash", DecoderCrashed),
        ("abort", DecoderCrashed),
        ("leave", DecoderCrashed),
        ("allocate", DecodingLimit),
        ("spin", DecodingLimit),
        ("sleep", DecodingLimit),
        ("half_a_message", DecoderCrashed),
        ("endless_message", DecoderCrashed),
        ("noise", DecoderCrashed),
        ("pickle", DecoderCrashed),
        ("other_fields", DecoderCrashed),
        ("other_code", DecoderCrashed),
        ("crash_midway", DecoderCrashed),
        ("not_a_number", DecoderCrashed),
        ("odd_bytes", DecoderCrashed),
        ("endless_sound", TooLong),
    ],
)
def test_a_decoder_that_misbehaves_is_a_failure_and_the_worker_lives_on(
    misbehave: Misbehave, monkeypatch: pytest.MonkeyPatch, wav: Path, how: str, failure: type[JobFailure]
) -> None:
    misbehave(how)
    limits = dataclasses.replace(TIGHT, wait_per_cpu_s=8.0) if how == "allocate" else TIGHT
    with pytest.raises(failure) as caught:
        heard(wav, dataclasses.replace(limits, max_duration_s=20.0))
    assert str(wav) not in caught.value.message
    monkeypatch.undo()
    assert heard(wav).shape == (2, 3 * 44100 + 17)
    assert children() == set()


@pytest.mark.parametrize("how", ["wrong_size", "endless_pictures", "not_a_number", "noise", "crash"])
def test_pictures_that_make_no_sense_are_not_believed(misbehave: Misbehave, wav: Path, how: str) -> None:
    misbehave(how)
    with pytest.raises(DecoderCrashed):
        list(video_frames(wav, TIGHT))
    with pytest.raises(DecoderCrashed):
        list(picture_frames([wav], TIGHT))


@pytest.mark.parametrize("how", ["other_fields", "pickle", "crash", "crash_midway"])
def test_a_probe_that_makes_no_sense_is_not_believed(misbehave: Misbehave, wav: Path, how: str) -> None:
    misbehave(how)
    with pytest.raises(DecoderCrashed):
        probe(wav, TIGHT)


def test_a_message_with_escapes_is_replaced(misbehave: Misbehave, wav: Path) -> None:
    misbehave("odd_message")
    with pytest.raises(MediaUnreadable) as caught:
        probe(wav, TIGHT)
    assert caught.value.message == MediaUnreadable.default_message


def test_cpu_time_is_earned_by_what_was_decoded(misbehave: Misbehave, wav: Path) -> None:
    misbehave("deliver_with_effort")
    assert heard(wav, dataclasses.replace(TIGHT, wait_per_cpu_s=60.0)).shape == (1, 8 * 8000)
    with pytest.raises(DecodingLimit):
        heard(wav, dataclasses.replace(TIGHT, wait_per_cpu_s=60.0, cpu_per_s=0.01))


def test_a_stop_is_heeded_while_the_decoder_says_nothing(misbehave: Misbehave, wav: Path) -> None:
    misbehave("sleep")
    with pytest.raises(Canceled):
        probe(wav, LIMITS, should_stop=lambda: True)
    with pytest.raises(Canceled), SoundReader(wav, LIMITS, should_stop=lambda: True):
        pass
    with pytest.raises(Canceled):
        list(video_frames(wav, LIMITS, should_stop=lambda: True))


def test_a_stop_is_heeded_between_frames(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", video=Video(75))
    stop = False
    frames = video_frames(path, LIMITS, should_stop=lambda: stop)
    next(frames)
    stop = True
    with pytest.raises(Canceled):
        list(frames)
    with pytest.raises(Canceled):
        list(picture_frames([path], LIMITS, should_stop=lambda: True))


def test_failures_come_through_with_their_message(tmp_path: Path, wav: Path) -> None:
    with pytest.raises(TooLong, match="lasts 3 s, longer than the 2 s"):
        probe(wav, MediaLimits(max_duration_s=2.0))
    with pytest.raises(NoPicture):
        list(video_frames(wav, LIMITS))
    with pytest.raises(NoPicture, match="no pictures"):
        list(picture_frames([], LIMITS))
    with pytest.raises(NoSound), SoundReader(write_media(tmp_path / "a.mp4", video=Video(5)), LIMITS):
        pass
    with pytest.raises(FramesUnreadable, match="Picture 1 of 1"):
        list(picture_frames([wav], LIMITS))
    for act in (probe, video_frames):
        with pytest.raises(JobGone):
            list(act(tmp_path / "gone.mp4", LIMITS))  # type: ignore[arg-type]  # a probe has failed by then


def test_a_deleted_upload_is_noticed_by_the_next_pass(wav: Path) -> None:
    with SoundReader(wav, LIMITS) as sound:
        assert len(list(sound.blocks())) == 4
        wav.unlink()
        with pytest.raises(JobGone):
            list(sound.blocks())


@pytest.fixture(scope="module")
def walls() -> Walls:
    return tried_out(LIMITS)


def test_the_walls_that_the_system_grants_stand(walls: Walls) -> None:
    assert not (walls.reaches_network and (walls.seccomp or walls.namespace))
    assert not (walls.reads_files and walls.landlock)
    assert not (walls.starts_processes and walls.seccomp)
    assert len(walls.gaps) == walls.reaches_network + walls.reads_files + walls.starts_processes


def test_each_gap_is_told_with_what_to_do() -> None:
    assert Walls(True, True, True, False, False, False).gaps == ()
    gaps = Walls(False, False, False, True, True, True).gaps
    assert [next(name for name in ("network", "files", "programs") if name in gap) for gap in gaps] == [
        "network", "files", "programs",
    ]  # fmt: skip
    assert all(": " in gap and gap.endswith(".") for gap in gaps)


def test_a_decoder_that_was_taken_over_gets_nowhere(
    misbehave: Misbehave, monkeypatch: pytest.MonkeyPatch, wav: Path, walls: Walls
) -> None:
    for name in ("DUETTO_API_KEYS", "AWS_SECRET_ACCESS_KEY", "SOMETHING"):
        monkeypatch.setenv(name, "secret")
    misbehave("tries")
    with DecoderProcess("tries", [wav], LIMITS) as decoder:
        message = decoder.receive({messages.HEADER: messages.MAX_JSON_BYTES})
    assert message is not None
    found = json.loads(message[1])
    known = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONPATH", "MALLOC_ARENA_MAX"}
    assert {name for name in found["environment"] if not name.endswith("_NUM_THREADS")} <= known
    by_landlock = {"other file", "environment of the worker", "memory of the worker", "signal to the worker"}
    by_seccomp = {"process", "program", "more CPU time", "signal to the worker"}
    worked = {name for name, did in found["worked"].items() if did}
    assert "writing to the upload" not in worked
    if walls.landlock:
        assert not worked & (by_landlock | {"writing a file"})
    if walls.seccomp:
        assert not worked & by_seccomp
    assert wav.stat().st_size > 1000


def test_a_decoder_dies_with_its_worker(wav: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from worker.media import launch\n"
        "launch.PROGRAM = ('-m', 'tests.unit.hostile_decoder', 'begin_and_spin')\n"
        "from worker.media.sound import SoundReader\n"
        "from worker.media.limits import MediaLimits\n"
        "sound = SoundReader(Path(sys.argv[1]), MediaLimits()).__enter__()\n"
        "print(sound._ready._process.pid, flush=True)\n"
        "input()\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program, str(wav)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with worker:
        assert worker.stdout is not None
        place = Path(f"/proc/{int(worker.stdout.readline())}")
        assert place.exists()
        worker.send_signal(signal.SIGKILL)
        # Were it not to die, the limit of pytest-timeout would end this.
        while place.exists() and "Z" not in place.joinpath("stat").read_text("ascii").split()[2]:
            time.sleep(0.01)


def loaded_by(imports: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import {imports}, json, sys; print(json.dumps(sorted(sys.modules)))"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout))


def test_the_worker_loads_no_decoder_and_the_decoder_nothing_heavy() -> None:
    worker = loaded_by("worker.source, worker.media.sandbox")
    assert not {name for name in worker if name.split(".")[0] in {"av", "PIL"} or name.startswith(decoding.__name__)}
    decoder = {name.split(".")[0] for name in loaded_by("worker.media.decoding.tasks")}
    assert "av" in decoder
    assert not decoder & {"torch", "pydantic", "redis", "celery", "scipy", "models", "app"}
