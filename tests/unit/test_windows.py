"""Windows of frames: every frame comes out once, in order, whatever the pieces; seams are faded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models import parallel
from models.errors import Stopped
from models.windows import WindowedMask

FREQ = 5


class Counting:
    """A separator whose mask tells the number of the window, and which keeps what it was given."""

    name = "counting"
    parameters: dict[str, Any] = {}  # noqa: RUF012 - a protocol's attribute, never changed
    provenance: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, block: int, overlap: int) -> None:
        self.block_frames, self.overlap_frames = block, overlap
        self.seen: list[NDArray[np.float32]] = []

    def mask(
        self, V: NDArray[np.float32], left: str, right: str, should_stop: Callable[[], bool] | None = None
    ) -> NDArray[np.float32]:
        """The number of the window, from 0, over ten."""
        assert (left, right) == ("cello", "flute")
        assert should_stop is not None
        assert not should_stop()
        self.seen.append(V)
        return np.full(V.shape, (len(self.seen) - 1) / 10, np.float32)


def _run(separator: Counting, frames: int, piece: int) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    spectrum = np.broadcast_to(np.arange(1, frames + 1), (2, FREQ, frames)).astype(np.complex64)
    windows = WindowedMask(separator, "cello", "flute")
    out = []
    for start in range(0, frames, piece):
        out += list(windows.push(spectrum[:, :, start : start + piece]))
    out += list(windows.flush())
    return np.concatenate([s for s, _ in out], axis=2), np.concatenate([m for _, m in out], axis=1)


@pytest.mark.parametrize(("block", "overlap"), [(10, 0), (10, 4), (6, 6)])
@pytest.mark.parametrize("frames", [1, 4, 9, 10, 14, 15, 20, 24, 25, 57])
def test_every_frame_once_in_order_whatever_the_pieces(block: int, overlap: int, frames: int) -> None:
    spectrum, mask = _run(Counting(block, overlap), frames, frames)
    np.testing.assert_array_equal(spectrum[0, 0].real, np.arange(1, frames + 1))
    assert mask.shape == (FREQ, frames)
    for piece in (1, 3, 10, 13):
        again, other = _run(Counting(block, overlap), frames, piece)
        np.testing.assert_array_equal(again, spectrum)
        np.testing.assert_array_equal(other, mask)


def test_masks_are_faded_into_each_other() -> None:
    separator = Counting(10, 4)
    _, mask = _run(separator, 24, 7)
    np.testing.assert_allclose(mask[0, :10], 0.0)
    np.testing.assert_allclose(mask[0, 10:14], [0.02, 0.04, 0.06, 0.08], rtol=1e-5)
    np.testing.assert_allclose(mask[0, 14:], 0.1)
    assert [V.shape[1] for V in separator.seen] == [14, 14]


def test_the_last_window_of_a_recording_is_a_full_one() -> None:
    separator = Counting(10, 4)
    _run(separator, 27, 27)
    assert [V.shape[1] for V in separator.seen] == [14, 14, 14]
    np.testing.assert_allclose(separator.seen[-1][0], np.arange(14, 28))


def test_blocks_without_overlap_stand_side_by_side() -> None:
    separator = Counting(10, 0)
    _, mask = _run(separator, 23, 5)
    assert [V.shape[1] for V in separator.seen] == [10, 10, 3]
    np.testing.assert_allclose(mask[0], np.repeat([0.0, 0.1, 0.2], [10, 10, 3]))


def test_nothing_in_nothing_out() -> None:
    assert list(WindowedMask(Counting(10, 4), "cello", "flute").flush()) == []


class Endless(Counting):
    """Works on a window until it is told to stop."""

    side_by_side = True

    def mask(
        self,
        V: NDArray[np.float32],
        left: str,  # noqa: ARG002 - the protocol's
        right: str,  # noqa: ARG002
        should_stop: Callable[[], bool] | None = None,
    ) -> NDArray[np.float32]:
        """Ends when `should_stop` says so."""
        assert should_stop is not None
        self.seen.append(V)
        while not should_stop():
            time.sleep(0.01)
        raise Stopped("stopped")


def test_whoever_leaves_early_leaves_no_window_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_threads", 2)
    separator = Endless(10, 4)
    windows = WindowedMask(separator, "cello", "flute")
    # With a third window, the first one's result would be waited for.
    assert list(windows.push(np.ones((1, FREQ, 24), np.complex64))) == []
    while len(separator.seen) < 2:
        time.sleep(0.01)
    windows.close()
    assert len(separator.seen) == 2
