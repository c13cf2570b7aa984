"""Damaged uploads of every container: each ends in a JobFailure or in sound and picture, nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from tests.media import CONTAINERS, Video, image_bytes, noise, write_media, write_zip
from worker import errors
from worker.errors import JobFailure
from worker.media.decoding.pictures import picture_frames
from worker.media.decoding.probe import probe
from worker.media.decoding.sound import SoundDecoder
from worker.media.decoding.video import video_frames
from worker.media.limits import MediaLimits

LIMITS = MediaLimits(max_duration_s=30, max_pixels=1_000_000)
TRIES = 60


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Change bytes, mostly in the headers at both ends, where they do the most harm."""
    damage = bytearray(content)
    for _ in range(rng.choice([1, 3, 10, 50])):
        reach = min(len(damage), rng.choice([200, 2000, len(damage)]))
        at = rng.randrange(reach) if rng.random() < 0.6 else len(damage) - 1 - rng.randrange(reach)
        kind = rng.random()
        if kind < 0.7:
            damage[at] = rng.randrange(256)
        elif kind < 0.85:
            damage[at : at + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])
        else:
            del damage[at : at + rng.randrange(20)]
    return bytes(damage)


def hear_twice(path: Path) -> None:
    with SoundDecoder(path, LIMITS) as reader:
        lengths = []
        for seconds in (1.0, 0.3):
            blocks = list(reader.blocks(seconds))
            assert all(np.isfinite(block).all() and block.shape[0] == reader.channels for block in blocks)
            lengths.append(sum(block.shape[1] for block in blocks))
        assert lengths[0] == lengths[1]


@pytest.mark.parametrize(("suffix", "codec", "picture"), CONTAINERS)
def test_damaged_media_end_in_our_own_errors(tmp_path: Path, suffix: str, codec: str, picture: str) -> None:
    rng = random.Random(suffix)  # noqa: S311 - repeatable on purpose
    path = tmp_path / f"a.{suffix}"
    whole = write_media(path, noise(2, 24000), 48000, codec=codec, video=Video(12, codec=picture)).read_bytes()
    failures: set[str] = set()
    messages: list[str] = []
    read = 0
    for _ in range(TRIES):
        path.write_bytes(damaged(whole, rng))
        try:
            probe(path, LIMITS)
            hear_twice(path)
            for frame in video_frames(path, LIMITS):
                assert frame.image.dtype == np.uint8
            read += 1
        except JobFailure as failure:
            failures.add(failure.code)
            messages.append(failure.message)
    assert not any(str(tmp_path) in message for message in messages)
    # The damage was neither always fatal nor never.
    assert read
    assert failures


def test_damaged_zips_end_in_our_own_errors(tmp_path: Path) -> None:
    rng = random.Random(1)  # noqa: S311 - repeatable on purpose
    path = tmp_path / "a.zip"
    whole = write_zip(path, [(f"{i}.jpg", image_bytes(i, "JPEG")) for i in range(3)]).read_bytes()
    failures: set[str] = set()
    for _ in range(4 * TRIES):
        path.write_bytes(damaged(whole, rng))
        try:
            list(picture_frames(path, LIMITS))
        except JobFailure as failure:
            failures.add(failure.code)
    assert "frames_unreadable" in failures


def test_every_failure_has_a_code_of_its_own_and_a_message_for_the_user() -> None:
    failures = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, JobFailure)]
    assert len(failures) >= 17
    assert len({kind.code for kind in failures}) == len(failures)
    for kind in failures:
        assert kind().message == str(kind()) == kind.default_message
        assert kind.default_message.count(".") >= 2
        assert kind.__name__ in (errors.__doc__ or "")
        assert kind is JobFailure or kind.code in (errors.__doc__ or "")
    assert {kind.code for kind in failures if kind.retryable} == {"out_of_memory", "plugin_unusable", "worker_lost"}
    assert JobFailure("Just so.").message == "Just so."
