"""Kept sound: every reader gets what the first one got, and what is small is decoded once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.media import noise, write_wav
from worker.errors import TooLong
from worker.media import kept, launch, process
from worker.media.kept import KeptSound
from worker.media.limits import MediaLimits

RATE = 8_000
SECONDS = 5
BLOCK_BYTES = 2 * RATE * 4


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "mix.wav", noise(2, SECONDS * RATE + 77), RATE)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes that were started to decode."""
    started: list[subprocess.Popen[bytes]] = []
    start = launch.started

    def counted() -> subprocess.Popen[bytes]:
        started.append(start())
        return started[-1]

    monkeypatch.setattr(process, "started", counted)
    yield started
    assert all(child.poll() is not None for child in started)


@pytest.mark.parametrize(
    ("most_blocks", "decoded"), [(100, 1), (6, 1), (5, 2), (3, 2), (2, 4), (0, 4)]
)  # 6 blocks are the whole recording
def test_all_get_the_same_however_much_is_kept(
    recording: Path,
    children: list[subprocess.Popen[bytes]],
    most_blocks: int,
    decoded: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", most_blocks * BLOCK_BYTES)
    with KeptSound(recording, MediaLimits()) as sound:
        assert (sound.sample_rate, sound.channels) == (RATE, 2)
        # Three seconds are listened to, twice; then the whole is read, twice.
        passes = [list(islice(sound.blocks(), count)) for count in (3, 3, 99, 99)]
    assert [len(blocks) for blocks in passes] == [3, 3, 6, 6]
    whole = np.concatenate(passes[2], axis=1)
    np.testing.assert_array_equal(whole, noise(2, SECONDS * RATE + 77))
    for blocks in passes:
        for block, first in zip(blocks, passes[3], strict=False):
            np.testing.assert_array_equal(block, first)
    assert len(children) == decoded


def test_whoever_reads_after_an_error_hears_of_it_too(recording: Path) -> None:
    with KeptSound(recording, MediaLimits(max_duration_s=3)) as sound:
        assert len(list(islice(sound.blocks(), 2))) == 2
        for _ in range(2):
            with pytest.raises(TooLong):
                list(sound.blocks())
