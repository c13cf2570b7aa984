"""Uploads that are no duet of two different instruments, through HTTP: each is told in plain words, with what to do."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from models.metrics import si_sdr
from tests.hard_frames import Frame, beside, chimes, closeup, fitted, halves, lyrics
from tests.media import write_wav
from tests.unit.test_example import EXAMPLES

pytestmark = pytest.mark.integration

Job = dict[str, Any]
Sent = Callable[..., Job]
RATE = 44_100
SECONDS = 4
TRUMPET, GUITAR = halves()[0]
NAME_THEM = "name the instruments with `left` and `right`"


def player(side: str) -> NDArray[np.float32]:
    """4 s of one of the example's stems, mono: the trumpet is left, the guitar right."""
    sound, _ = soundfile.read(EXAMPLES / f"duet_{side}.wav", dtype="float32", frames=SECONDS * RATE)
    return np.asarray(sound)


@pytest.fixture
def sent(
    post: Callable[..., httpx.Response], finished: Callable[[httpx.Response], Job], tmp_path: Path
) -> Sent:  # fmt: skip
    """Post pictures with sound, or sound alone, and return the job once it has ended."""

    def send(pictures: Sequence[Frame], sound: NDArray[np.float32], **options: str) -> Job:
        paths = [tmp_path / f"{number}.png" for number in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            Image.fromarray(picture).save(path)
        audio = write_wav(tmp_path / "sound.wav", np.atleast_2d(sound), RATE)
        return finished(post({"frames": paths, "audio": audio} if paths else {"audio": audio}, **options))

    return send


def failure(job: Job, code: str) -> str:
    assert (job["state"], job["error"]["code"], job["error"]["retryable"]) == ("failed", code, False), job
    return str(job["error"]["message"])


def warnings(http: httpx.Client, job: Job) -> list[str]:
    assert job["state"] == "succeeded", job["error"]
    found: list[str] = http.get(job["links"]["result"]).json()["warnings"]
    return found


def test_twice_the_same_instrument_is_parted_by_position(http: httpx.Client, sent: Sent) -> None:
    left = np.stack([0.95 * player("left"), 0.3 * player("left")])
    right = np.stack([0.3 * player("right"), 0.95 * player("right")])
    job = sent([], left + right, left="violin", right="violin")
    notes = warnings(http, job)
    assert any(note.startswith("Both players play violin: they are told apart by their places") for note in notes)
    result = http.get(job["links"]["result"]).json()
    assert result["separator"] == "position"
    assert [result["labels"][side]["instrument"] for side in ("left", "right")] == ["violin", "violin"]
    places = result["provenance"]["separator"]
    assert (places["left"], places["right"]) == (pytest.approx(0.2, abs=0.05), pytest.approx(0.8, abs=0.05))
    assert result["quality"] is None
    total = np.zeros_like(left)
    for side, truth in (("left", left), ("right", right)):
        stem, _ = soundfile.read(io.BytesIO(http.get(job["links"][side]).content), dtype="float32", always_2d=True)
        assert si_sdr(truth.reshape(1, -1), stem.T.reshape(1, -1))[0] > 8
        total += stem.T
    assert np.abs(total - left - right).max() < 1e-4


def test_twice_the_same_instrument_in_mono_is_refused_with_the_reason(sent: Sent) -> None:
    together = player("left") + player("right")
    message = failure(sent([], together, left="violin", right="violin"), "same_instrument")
    assert message.startswith("Both sides are named alike, and the recording is mono")
    assert "Give a stereo recording in which one is heard from the left" in message
    message = failure(sent([], np.stack([together, together]), left="cello", right="cello"), "same_instrument")
    assert "both channels of the recording hold the same" in message


def test_the_same_instrument_seen_on_both_sides(sent: Sent) -> None:
    frame = beside(TRUMPET, np.ascontiguousarray(TRUMPET[:, ::-1]), 0.5)
    message = failure(sent([frame], player("left")), "players_unclear")
    assert message.startswith("Only one instrument is found, trumpet: it is one player, or two with the same")
    assert "name it for both: left=trumpet, right=trumpet" in message
    assert message.endswith(f"{NAME_THEM}.")


def test_one_player_only(sent: Sent) -> None:
    message = failure(sent([closeup(TRUMPET)], player("left")), "players_unclear")
    assert message.startswith("Only one instrument is found, trumpet: it is one player")


def test_nobody_to_be_seen_beside_a_player(http: httpx.Client, sent: Sent) -> None:
    wall = np.full_like(TRUMPET, (90, 110, 120))
    notes = warnings(http, sent([beside(TRUMPET, wall, 0.5)], player("left") + player("right")))
    assert any(note.startswith("No instrument is to be seen on the right") and NAME_THEM in note for note in notes)


def test_three_players(http: httpx.Client, sent: Sent) -> None:
    frame = np.concatenate([fitted(one, 213, 360) for one in (TRUMPET, GUITAR, TRUMPET)], axis=1)
    notes = warnings(http, sent([frame], player("left") + player("right")))
    assert any(
        note.startswith("Three players seem to be in the picture: trumpet, acoustic guitar, trumpet.")
        and "what the third one plays is in one of their stems or in both" in note
        for note in notes
    )


def test_an_instrument_outside_the_eight(http: httpx.Client, sent: Sent) -> None:
    notes = warnings(http, sent([beside(TRUMPET, chimes(), 0.5)], player("left") + player("right")))
    assert any(
        note.startswith("The right side looks like a chime, which is none of the eight instruments")
        and NAME_THEM in note
        for note in notes
    )


@pytest.mark.parametrize("pictures", [[lyrics(line) for line in range(3)], [np.full((360, 640, 3), 120, np.uint8)]])
def test_no_instrument_to_be_seen(sent: Sent, pictures: list[Frame]) -> None:
    message = failure(sent(pictures, player("left") + player("right")), "players_unclear")
    assert message.startswith("No instrument is to be seen in the picture, so it cannot be told who plays left")
    assert "The sound is most like" in message
    assert message.endswith(f"{NAME_THEM}.")
