"""The pictures of a job: a frame with what was seen in it, probabilities over time, spectrograms.

They are for looking at: whatever goes wrong with one is told to the log, and it is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from numpy.typing import NDArray

from app.stem_names import picture_name, picture_url
from models.pictures import Picture, SpectrogramStream, draw_probabilities, draw_scene, draw_spectrograms
from worker.looking import Seen

logger = logging.getLogger(__name__)


class JobPictures:
    """Listens while a job separates, and draws at its end.

    Parameters
    ----------
    folder : Path
        Where the pictures go, each as ``NAME.png``.
    sample_rate : int [Hz]
    channels : int
    expected_s : float
        About how long the recording is.
    """

    def __init__(self, folder: Path, sample_rate: int, channels: int, expected_s: float) -> None:
        self._folder = folder
        self._stream: SpectrogramStream | None = None
        with _spared("spectrograms"):
            self._stream = SpectrogramStream(sample_rate, channels, expected_s)

    def add(self, left: NDArray[np.float32], right: NDArray[np.float32]) -> None:
        """Take the next piece of both stems, each (channels, samples) float32, of one length."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with _spared("spectrograms"):
                stream.add(left, right)
                self._stream = stream

    def finish(self, seen: Seen | None, left: str, right: str, duration_s: float) -> list[dict[str, Any]]:
        """Draw and write all that can be drawn; return what the result document says of each (docs/api.md)."""
        drawn: list[Picture] = []
        if seen is not None:
            with _spared("frame"):
                drawn += _scene(seen, left, right)
            with _spared("probabilities"):
                sides = (seen.labels.left_probabilities, seen.labels.right_probabilities)
                drawn.append(draw_probabilities(seen.times_s, sides, (left, right), duration_s))
        if self._stream is not None:
            with _spared("spectrograms"):
                drawn += draw_spectrograms(self._stream.finish(), left, right)
        written = []
        for picture in drawn:
            with _spared(picture.name):
                written.append(self._write(picture))
        return written

    def _write(self, picture: Picture) -> dict[str, Any]:
        path = self._folder / picture_name(picture.name)
        try:
            path.write_bytes(picture.png)
        except BaseException:
            # Half of it must not be published.
            path.unlink(missing_ok=True)
            raise
        return {
            "name": picture.name,
            "url": picture_url(picture.name),
            "width": picture.width,
            "height": picture.height,
            "alt": picture.alt,
            "plot": None if picture.plot is None else asdict(picture.plot),
        }


def _scene(seen: Seen, left: str, right: str) -> list[Picture]:
    """The frame of the view that is shown longest, of those whose frame was kept; without views, the first frame."""
    if not seen.kept:
        return []
    if seen.fused is None:
        return [draw_scene(seen.kept[0], seen.looked_at_s[0], (left, right))]
    shot = next(shot for shot in seen.fused.shots if shot.frame < len(seen.kept))
    return [draw_scene(seen.kept[shot.frame], seen.looked_at_s[shot.frame], (left, right), shot.cut, shot.extents)]


@contextmanager
def _spared(what: str) -> Iterator[None]:
    """Let the job go on without a picture, unless its time is up."""
    try:
        yield
    except (SoftTimeLimitExceeded, TimeLimitExceeded):
        raise
    except Exception:
        logger.exception("a picture could not be made and is left out: %s", what)
